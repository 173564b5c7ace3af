// SPDX-License-Identifier: Apache-2.0
// A 32-bit x86 program without libc (so that no multilib is needed); its numbers mean other calls in x86_64's table:
// 140 _llseek (getpriority), 7 waitpid (poll), 191 ugetrlimit (getxattr), 4 write (stat), 252 exit_group (ioprio_get).
#define EBADF 9
#define ECHILD 10
#define EINVAL 22
#define GARBAGE 0x7fffffff
#define STATUS_DENIED 99

static int call(int number, int a, int b, int c)
{
	int result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(0), "D"(0) : "memory");
	return result;
}

__attribute__((noreturn, force_align_arg_pointer)) void _start(void)
{
	static const char done[] = "compat done\n";
	int status = 24;

	if (call(140, -1, 0, 0) != -EBADF || call(7, -1, 0, 0) != -ECHILD || call(191, GARBAGE, 0, 0) != -EINVAL)
		status = STATUS_DENIED;
	else if (call(4, 1, (int)done, sizeof(done) - 1) != sizeof(done) - 1)
		status = STATUS_DENIED;
	call(252, status, 0, 0);
	call(1, STATUS_DENIED, 0, 0);	// exit, should exit_group be refused
	__builtin_trap();
}
