// SPDX-License-Identifier: Apache-2.0
// What is measured: waits for its input to say go, execs itself (as a container's entrypoint would), then
//   meter calls CHUNKS N      makes N getppid calls a chunk; the ns of one, a line for each chunk
//   meter filtered CHUNKS N   the same under a filter that always allows it
//   meter conditional CHUNKS N  the same under a filter that looks at its arguments, as for one of a libseccomp rule
//   meter switches CHUNKS N   two processes on one CPU hand a byte to and fro N times a chunk; the ns of one switch
//   meter sleepers COUNT      starts COUNT processes that sleep until we end, and prints their pids (no exec)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static void wait_for_go(void)
{
	char byte;

	if (read(0, &byte, 1) < 0)
		exit(1);
}

static void sleepers(int count)
{
	for (int i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid < 0)
			exit(1);
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
		printf("%d\n", pid);
	}
	fflush(stdout);
	wait_for_go();
}

static void calls(int count)
{
	for (int i = 0; i < count; i++)
		syscall(SYS_getppid);
}

static int to_peer[2], from_peer[2];

static void start_peer(void)
{
	char byte;

	if (pipe(to_peer) || pipe(from_peer))
		exit(1);
	if (fork() == 0) {
		close(to_peer[1]);
		while (read(to_peer[0], &byte, 1) == 1 && write(from_peer[1], &byte, 1) == 1)
			;
		exit(0);
	}
}

static void switches(int count)
{
	char byte = 0;

	for (int i = 0; i < count; i++)
		if (write(to_peer[1], &byte, 1) != 1 || read(from_peer[0], &byte, 1) != 1)
			exit(1);
}

/* Every call is allowed; with `arguments` the kernel cannot know that before it has looked at them. */
static void confine(int arguments)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 arguments ? offsetof(struct seccomp_data, args[0]) : offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x12345678, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		exit(1);
}

int main(int count, char **arguments)
{
	int chunks, size;
	double *times;

	if (count == 3 && !strcmp(arguments[1], "sleepers")) {
		sleepers(atoi(arguments[2]));
		return 0;
	}
	if (count == 4) {
		wait_for_go();
		execl("/proc/self/exe", arguments[0], arguments[1], arguments[2], arguments[3], "now", (char *)0);
		return 1;
	}
	if (count != 5)
		return 64;
	chunks = atoi(arguments[2]);
	size = atoi(arguments[3]);
	times = calloc(chunks, sizeof(*times));
	if (!strcmp(arguments[1], "switches"))
		start_peer();
	if (!strcmp(arguments[1], "filtered") || !strcmp(arguments[1], "conditional"))
		confine(!strcmp(arguments[1], "conditional"));
	for (int i = -2; i < chunks; i++) {	/* the first two warm up */
		double before = now();

		if (!strcmp(arguments[1], "switches"))
			switches(size);
		else
			calls(size);
		if (i >= 0)
			times[i] = now() - before;
	}
	for (int i = 0; i < chunks; i++)
		printf("%.2f\n", times[i] / size / (strcmp(arguments[1], "switches") ? 1 : 2));
	return 0;
}
