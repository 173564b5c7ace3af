// SPDX-License-Identifier: Apache-2.0
// One run in four parts, split by markers, with a distinctive call in each; a child inherits its parent's context.
#include "call.h"
#include <sys/wait.h>

int main(void)
{
	int status;
	pid_t pid;

	require("msync");
	enter_context("login");
	require("times");
	enter_context("checkout");
	require("syncfs");
	pid = fork();
	if (pid == 0) {
		require("fadvise64");
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		setup_failed("child");
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return STATUS_DENIED;
	enter_context("login");
	require("sched_getattr");
	enter_context("");
	require("getpriority");
	return finish("contexts", 31);
}
