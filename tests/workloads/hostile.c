// SPDX-License-Identifier: Apache-2.0
// A container that attacks its recorder: names, comms and executables without end, or made to break what prints them.
// Each mode ends with a distinctive call, which must be in the recording all the same.
#include "call.h"
#include <limits.h>
#include <sys/mman.h>

#define MEGABYTE (1 << 20)

static int distinct_names(long count)
{
	char name[64];
	long i;

	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "context-%ld", i);
		enter_context(name);
		if (i % 1000 == 0)
			require("getrusage");
	}
	enter_context("");
	require("eventfd2");
	return finish("names", 41);
}

// Names of 1 MB, differing in their first byte, then in their last one only.
static int long_names(void)
{
	char *name = malloc(MEGABYTE + 1);
	int i;

	if (!name)
		setup_failed("malloc");
	memset(name, 'a', MEGABYTE);
	name[MEGABYTE] = 0;
	for (i = 0; i < 26; i++) {
		name[0] = 'A' + i;
		enter_context(name);
		require("getrusage");
	}
	for (i = 0; i < 26; i++) {
		name[MEGABYTE - 1] = 'A' + i;
		enter_context(name);
		require("getrusage");
	}
	enter_context("");
	require("inotify_rm_watch");
	return finish("long-names", 42);
}

static int ugly_names(void)
{
	static const char *const names[] = {
		"line\nbreak\r\n", "\"quoted\" 'twice' `thrice`", "\x1b[31mred\x1b]0;title\x07\x1b[2J",
		"<script>alert(1)</script>&amp;<b>", "back\\slash \\u0000 \\x00", "../../etc/passwd", "tab\tand\x01\x02\x7f",
		"\xff\xfe\xc3\x28 not UTF-8", "\xe2\x80\xaeright to left\xe2\x80\xa8", "::error::workflow command%0A",
		"{\"json\": [null]}", "$(id) ;|& %s%n", " ", "|table|cell|\n|---|---|", "\302\23331m C1",
	};
	long page = sysconf(_SC_PAGESIZE);
	char *edge;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		enter_context(names[i]);
		require("getrusage");
	}
	// A name that runs into memory that is not there, and names that are no pointers at all.
	edge = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (edge == MAP_FAILED || munmap(edge + page, page))
		setup_failed("mmap");
	memset(edge, 'e', page);
	enter_context(edge + page - 8);
	enter_context(NULL);
	enter_context((void *)-1L);
	enter_context((void *)LONG_MIN);
	enter_context("");
	require("inotify_init1");
	return finish("ugly-names", 43);
}

static int comm(void)
{
	static const char *const names[] = { "\x1b[31m\r\n\"<b>\x01\xff", "a\"b'c\\d&<>\n", "", "\xe2\x80\xae\x07\x08\x7f%s" };
	static const char *const calls[] = { "signalfd4", "timerfd_gettime", "preadv", "pwritev" };
	int i;

	for (i = 0; i < 4; i++) {
		if (prctl(PR_SET_NAME, names[i], 0, 0, 0))
			setup_failed("PR_SET_NAME");
		require(calls[i]);
	}
	return finish("comm", 44);
}

// Replaces itself COUNT times by a link of another name to itself, in DIRECTORY, with one link there at a time.
static int executables(const char *directory, long count, long done, char **environment)
{
	char link[PATH_MAX], program[PATH_MAX], total[24], step[24];
	char *arguments[] = { "hostile", "executables", (char *)directory, total, step, NULL };
	ssize_t length;

	if (done > 0) {
		snprintf(link, sizeof(link), "%s/program-%ld", directory, done);
		unlink(link);
	}
	if (done == count) {
		require("pidfd_send_signal");
		return finish("executables", 45);
	}
	length = readlink("/proc/self/exe", program, sizeof(program) - 1);
	if (length < 0)
		setup_failed("/proc/self/exe");
	program[length] = 0;
	snprintf(link, sizeof(link), "%s/program-%ld", directory, done + 1);
	snprintf(total, sizeof(total), "%ld", count);
	snprintf(step, sizeof(step), "%ld", done + 1);
	if (symlink(program, link))
		setup_failed(link);
	execve(link, arguments, environment);
	setup_failed(link);
}

// COUNT distinct numbers outside every table, upwards from 1000; each is answered ENOSYS.
static int numbers(long count)
{
	long i;

	for (i = 0; i < count; i++)
		syscall(1000 + i);
	require("mlock2");
	return finish("numbers", 46);
}

int main(int count, char **arguments, char **environment)
{
	const char *mode = count > 1 ? arguments[1] : "";
	long number = count > 2 ? atol(arguments[2]) : 100000;

	if (!strcmp(mode, "names"))
		return distinct_names(number);
	if (!strcmp(mode, "long-names"))
		return long_names();
	if (!strcmp(mode, "ugly-names"))
		return ugly_names();
	if (!strcmp(mode, "comm"))
		return comm();
	if (!strcmp(mode, "numbers"))
		return numbers(number);
	if (!strcmp(mode, "executables") && count > 2)
		return executables(arguments[2], count > 3 ? atol(arguments[3]) : 5000, count > 4 ? atol(arguments[4]) : 0,
				   environment);
	fprintf(stderr, "usage: hostile names [N]|long-names|ugly-names|comm|numbers [N]|executables DIRECTORY [N]\n");
	return STATUS_USAGE;
}
