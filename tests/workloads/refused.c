// SPDX-License-Identifier: Apache-2.0
// Has a seccomp filter of its own answer a call: refused ANSWER MODE [COUNT], ANSWER a SECCOMP_RET_* value. Prints what
// the last call returned; what is asked about is getsid(0x7000007, 8, 9): no such process, and arguments that can be told.
#include "call.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

#define GETSID_X86 147
#define NOBODY 0x7000007

static long count = 1;
static volatile long result;
static volatile int error;

static void confine(unsigned int answer, int number)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, answer),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		exit(STATUS_SETUP);
}

__attribute__((noinline)) static void ask_kernel(void)
{
	for (long i = 0; i < count; i++) {
		result = syscall(SYS_getsid, NOBODY, 8, 9);
		error = errno;
	}
}

static void *ask_in_thread(void *unused)
{
	ask_kernel();
	return unused;
}

static void ask_by_int80(void)
{
#ifdef __x86_64__
	int answered;

	__asm__ volatile("int $0x80" : "=a"(answered) : "a"(GETSID_X86), "b"(NOBODY), "c"(8), "d"(9)
			 : "memory", "r8", "r9", "r10", "r11");
	result = answered;
#else
	exit(STATUS_ABSENT);
#endif
}

static void caught(int number)
{
	(void)number;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[2] : "";
	pthread_t thread;
	int status;

	if (argc > 3)
		count = atol(argv[3]);
	if (!strcmp(mode, "caught"))
		signal(SIGSYS, caught);
	confine(strtoul(argv[1], 0, 0), strcmp(mode, "int80") ? SYS_getsid : GETSID_X86);
	if (!strcmp(mode, "thread")) {
		if (pthread_create(&thread, 0, ask_in_thread, 0) || pthread_join(thread, 0))
			return STATUS_SETUP;
	} else if (!strcmp(mode, "child")) {
		if (!fork()) {
			ask_kernel();
			_exit(0);
		}
		wait(&status);
	} else if (!strcmp(mode, "int80")) {
		ask_by_int80();
	} else {
		ask_kernel();
	}
	printf("result %ld errno %d\n", (long)result, (int)error);
	return 0;
}
