// SPDX-License-Identifier: Apache-2.0
// The ways in which a process comes to be, changes and ends; each mode makes its distinctive calls at the far end of one.
#include "call.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#define CHILD_STATUS 5

static char **environment;

// The child's status becomes ours where it is not the expected one.
static void expect_child(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		setup_failed("child");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != CHILD_STATUS)
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_SETUP);
}

static void exec_self(const char *mode, const char *step)
{
	char *arguments[] = { "processes", (char *)mode, (char *)step, NULL };

	execve("/proc/self/exe", arguments, environment);
	setup_failed("exec /proc/self/exe");
}

/* The process ends when all of them have called: what is refused to one must not keep another from its call. */
static void *thread_call(void *name)
{
	return answered(name) ? NULL : name;
}

static int threads(void)
{
	static const char *const names[] = { "sched_getparam", "sched_getscheduler", "getpgid", "getsid" };
	pthread_t ids[4];
	void *refused;
	int i, status = 0;

	for (i = 0; i < 4; i++)
		if (pthread_create(&ids[i], NULL, thread_call, (void *)names[i]))
			setup_failed("pthread_create");
	for (i = 0; i < 4; i++)
		if (pthread_join(ids[i], &refused) || refused)
			status = STATUS_DENIED;
	return status ? status : finish("threads", 11);
}

static int forked(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		require("getitimer");
		_exit(CHILD_STATUS);
	}
	expect_child(pid);
	return finish("fork", 12);
}

// The grandchild outlives its parent, in a session of its own, with no descriptor left but the pipe.
static int daemonised(void)
{
	char result = 0;
	int ends[2], waited;
	pid_t pid;

	if (pipe(ends))
		setup_failed("pipe");
	pid = fork();
	if (pid == 0) {
		pid_t middle = getpid();

		if (setsid() < 0)
			_exit(STATUS_DENIED);
		if (fork())
			_exit(CHILD_STATUS);
		/* At least once: a recording must have the call however soon the parent ends. */
		waited = 0;
		do
			usleep(1000);
		while (getppid() == middle && ++waited < 60000);
		if (chdir("/"))
			_exit(STATUS_SETUP);
		close(0);
		close(1);
		close(2);
		close(ends[0]);
		result = answered("sched_get_priority_max") ? 'y' : 'n';
		_exit(write(ends[1], &result, 1) == 1 ? 0 : STATUS_SETUP);
	}
	close(ends[1]);
	expect_child(pid);
	if (read(ends[0], &result, 1) != 1)
		setup_failed("the daemon's answer");
	return result == 'y' ? finish("daemon", 13) : STATUS_DENIED;
}

// As unshare -Upm: new user, pid and mount namespaces, with a child that is the init of the new pid namespace.
static int unshared(void)
{
	pid_t pid;

	if (unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS))
		setup_failed("unshare");
	pid = fork();
	if (pid == 0) {
		if (getpid() != 1)
			_exit(STATUS_SETUP);
		require("getresgid");
		_exit(CHILD_STATUS);
	}
	expect_child(pid);
	return finish("unshare", 14);
}

static int vforked(void)
{
	pid_t pid = vfork();

	if (pid == 0)
		_exit(answered("sched_rr_get_interval") ? CHILD_STATUS : STATUS_DENIED);
	expect_child(pid);
	return finish("vfork", 15);
}

static int cloned(void)
{
	struct clone_args arguments = { .exit_signal = SIGCHLD };
	pid_t pid = syscall(SYS_clone3, &arguments, sizeof(arguments));

	if (pid == 0)
		_exit(answered("mlock") ? CHILD_STATUS : STATUS_DENIED);
	expect_child(pid);
	return finish("clone3", 16);
}

static int killed(void)
{
	int status;
	pid_t pid;

	require("timer_getoverrun");
	finish("killed", 0);
	kill(getpid(), SIGKILL);
	// Still here: the init of a pid namespace cannot kill itself, so a child does it.
	pid = fork();
	if (pid == 0)
		kill(getpid(), SIGKILL);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		setup_failed("child");
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : STATUS_SETUP;
}

static void *outlive_main(void *unused)
{
	char path[64], text[512], *state;
	int waited, file;
	ssize_t length;

	(void)unused;
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	for (waited = 0; waited < 60000; waited++) {
		/* Before the first look too: a recording must have the call however soon the thread ends. */
		usleep(1000);
		file = open(path, O_RDONLY);
		if (file < 0)
			setup_failed(path);
		length = read(file, text, sizeof(text) - 1);
		close(file);
		text[length > 0 ? length : 0] = 0;
		state = strrchr(text, ')');
		if (state && state[1] == ' ' && state[2] == 'Z')
			break;
	}
	if (waited == 60000)
		_exit(STATUS_SETUP);
	require("sched_get_priority_min");
	finish("main-exits", 0);
	syscall(SYS_exit_group, 7);
	return NULL;
}

static int main_exits(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, outlive_main, NULL))
		setup_failed("pthread_create");
	pthread_exit(NULL);
}

static void *exec_from_thread(void *unused)
{
	(void)unused;
	exec_self("thread-exec", "after");
	return NULL;
}

// The kernel gives the thread its leader's identity (de_thread) before the new program starts.
static int thread_exec(const char *step)
{
	pthread_t thread;

	if (step) {
		require("getresuid");
		return finish("thread-exec", 17);
	}
	if (pthread_create(&thread, NULL, exec_from_thread, NULL))
		setup_failed("pthread_create");
	/* No call: whether it came before the exec would be a matter of luck. */
	for (;;)
		__asm__ volatile("");
}

static int hops(const char *step)
{
	static const char *const names[] = { "flistxattr", "fgetxattr", "fremovexattr", "readahead", "sync_file_range" };
	static const char *const steps[] = { "0", "1", "2", "3", "4", "5" };
	int hop = step ? atoi(step) : 0;

	if (hop > 0)
		require(names[hop - 1]);
	if (hop < 5)
		exec_self("hops", steps[hop + 1]);
	return finish("hops", 18);
}

static void on_terminate(int number)
{
	(void)number;
	require("getcpu");
	_exit(19);
}

static _Noreturn void sleeper(void)
{
	struct sigaction action = { .sa_handler = on_terminate };

	if (sigaction(SIGTERM, &action, NULL))
		setup_failed("sigaction");
	printf("sleeper ready\n");
	fflush(stdout);
	for (;;)
		pause();
}

int main(int count, char **arguments, char **variables)
{
	const char *mode = count > 1 ? arguments[1] : "", *step = count > 2 ? arguments[2] : NULL;
	int nobody_waits = 0;

	/* Whether joining a thread has to wait for it depends on timing: a recording must have the call in any case. */
	syscall(SYS_futex, &nobody_waits, FUTEX_WAKE_PRIVATE, 1);
	environment = variables;
	if (!strcmp(mode, "threads"))
		return threads();
	if (!strcmp(mode, "fork"))
		return forked();
	if (!strcmp(mode, "daemon"))
		return daemonised();
	if (!strcmp(mode, "unshare"))
		return unshared();
	if (!strcmp(mode, "vfork"))
		return vforked();
	if (!strcmp(mode, "clone3"))
		return cloned();
	if (!strcmp(mode, "killed"))
		return killed();
	if (!strcmp(mode, "main-exits"))
		return main_exits();
	if (!strcmp(mode, "thread-exec"))
		return thread_exec(step);
	if (!strcmp(mode, "hops"))
		return hops(step);
	if (!strcmp(mode, "sleeper"))
		sleeper();
	fprintf(stderr, "usage: processes threads|fork|daemon|unshare|vfork|clone3|killed|main-exits|thread-exec|hops|sleeper\n");
	return STATUS_USAGE;
}
