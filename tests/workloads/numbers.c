// SPDX-License-Identifier: Apache-2.0
// Calls by number that a 64-bit program makes beside its own table: the 32-bit entry, x32, and numbers of no table.
#include "call.h"

#ifdef __x86_64__

// The kernel's answer through int $0x80, where the numbers are those of i386 and the arguments have 32 bits.
static int compat_call(int number, int a, int b, int c, int d)
{
	int result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(0)
			 : "memory", "r8", "r9", "r10", "r11");
	return result;
}

// i386: 140 _llseek, 7 waitpid; x86_64 has getpriority and poll there.
static int int80(void)
{
	if (compat_call(140, -1, 0, 0, 0) != -EBADF || compat_call(7, -1, 0, 0, 0) != -ECHILD)
		return STATUS_DENIED;
	return finish("int80", 21);
}

// getpgid and ioctl (514 is x32's own number) with the x32 bit; a kernel without x32 answers ENOSYS.
static int x32(void)
{
	if (syscall(0x40000000 | SYS_getpgid, 0) == -1 && errno != ENOSYS)
		return STATUS_DENIED;
	if (syscall(0x40000000 | 514, -1, 0, 0) == -1 && errno != ENOSYS && errno != EBADF)
		return STATUS_DENIED;
	syscall(0x7fffffff, 0);	// of x32, and of no table
	return finish("x32", 22);
}

#else

static int absent(const char *mode)
{
	fprintf(stderr, "%s: not on this processor\n", mode);
	return STATUS_ABSENT;
}

static int int80(void)
{
	return absent("int80");
}

static int x32(void)
{
	return absent("x32");
}

#endif

// The kernel takes the low 32 bits, so the last one is read(0, NULL, 0); one with bit 30 set would be x32's.
static int wild(void)
{
	static const long numbers[] = { 10000, -1, 0x3fffffff, 575, 576, 1L << 40 };
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		syscall(numbers[i], 0, 0, 0, 0, 0, 0);
	require("munlock");
	return finish("wild", 23);
}

int main(int count, char **arguments)
{
	const char *mode = count > 1 ? arguments[1] : "";

	if (!strcmp(mode, "int80"))
		return int80();
	if (!strcmp(mode, "x32"))
		return x32();
	if (!strcmp(mode, "wild"))
		return wild();
	fprintf(stderr, "usage: numbers int80|x32|wild\n");
	return STATUS_USAGE;
}
