/* SPDX-License-Identifier: Apache-2.0 */
/* The distinctive calls of the workloads: rare, harmless, needing no privilege, and allowed by podman's default profile.
 *
 * Each one has a known answer, so that a refused call is told from a made one: require() ends the process with
 * STATUS_DENIED where the answer differs. A workload's exit status is thus its own only if all its calls were let through.
 */
#ifndef WORKLOADS_CALL_H
#define WORKLOADS_CALL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if __has_include("recorder.h")
#include <linux/types.h>
#include "recorder.h"
#else
#define SECLUDE_MARK 0x5ec1de00
#endif

#define STATUS_USAGE 64
#define STATUS_ABSENT 77	/* this processor has no such call */
#define STATUS_SETUP 98		/* the workload could not be set up */
#define STATUS_DENIED 99	/* a distinctive call got another answer than the kernel's own */

#define GARBAGE 0x7fffffffL	/* a flag, size or clock that no kernel knows */

struct call {
	const char *name;
	long number;
	int error;		/* the kernel's own answer: 0 for success */
	long arguments[6];
};

static char call_buffer[256] __attribute__((aligned(16)));

#define BUFFER ((long)call_buffer)
#define CALL(name, error, ...) { #name, SYS_##name, error, { __VA_ARGS__ } }

static struct call find_call(const char *name)
{
	const struct call calls[] = {
		CALL(copy_file_range, EBADF, -1, 0, -1, 0, 1, 0),
		CALL(eventfd2, EINVAL, 0, GARBAGE),
		CALL(fallocate, EBADF, -1, 0, 0, 1),
		CALL(fgetxattr, EBADF, -1, (long)"user.none", BUFFER, 1),
		CALL(flistxattr, EBADF, -1, BUFFER, 1),
		CALL(fremovexattr, EBADF, -1, (long)"user.none"),
		CALL(get_robust_list, 0, 0, BUFFER, BUFFER + 8),
		CALL(getcpu, 0, BUFFER, 0, 0),
		CALL(getitimer, 0, 0, BUFFER),
		CALL(getpgid, 0, 0),
		CALL(getpriority, 0, 0, 0),
		CALL(getresgid, 0, BUFFER, BUFFER + 4, BUFFER + 8),
		CALL(getresuid, 0, BUFFER, BUFFER + 4, BUFFER + 8),
		CALL(getrusage, 0, 0, BUFFER),
		CALL(getsid, 0, 0),
		CALL(inotify_init1, EINVAL, GARBAGE),
		CALL(inotify_rm_watch, EBADF, -1, 1),
		CALL(io_destroy, EINVAL, 0),
		CALL(io_getevents, EINVAL, 0, 0, 0, 0, 0),
		CALL(ioprio_get, EINVAL, GARBAGE, 0),
		CALL(membarrier, EINVAL, GARBAGE, 0, 0),
		CALL(memfd_create, EINVAL, (long)"none", GARBAGE),
		CALL(mincore, EINVAL, 1, 1, BUFFER),
		CALL(mlock, 0, 0, 0),
		CALL(mlock2, EINVAL, 0, 0, GARBAGE),
		CALL(msgget, ENOENT, GARBAGE, 0),
		CALL(msync, EINVAL, 1, 1, 0),
		CALL(munlock, 0, 0, 0),
		CALL(pidfd_send_signal, EBADF, -1, 0, 0, 0),
		CALL(preadv, EBADF, -1, 0, 0, 0, 0),
		CALL(pwritev, EBADF, -1, 0, 0, 0, 0),
		CALL(readahead, EBADF, -1, 0, 1),
		CALL(sched_get_priority_max, 0, 1),
		CALL(sched_get_priority_min, 0, 1),
		CALL(sched_getattr, EINVAL, 0, BUFFER, 1, 0),
		CALL(sched_getparam, 0, 0, BUFFER),
		CALL(sched_getscheduler, 0, 0),
		CALL(sched_rr_get_interval, 0, 0, BUFFER),
		CALL(semget, EINVAL, 0, -1, 0),
		CALL(sendfile, EBADF, -1, -1, 0, 1),
		CALL(shmget, EINVAL, 0, 0, 0),
		CALL(signalfd4, EINVAL, -1, BUFFER, 1, 0),
		CALL(splice, EBADF, -1, 0, -1, 0, 1, 0),
		CALL(sync_file_range, EBADF, -1, 0, 0, 0),
		CALL(syncfs, EBADF, -1),
		CALL(sysinfo, 0, BUFFER),
		CALL(tee, EBADF, -1, -1, 1, 0),
		CALL(timer_getoverrun, EINVAL, GARBAGE),
		CALL(timerfd_create, EINVAL, GARBAGE, 0),
		CALL(timerfd_gettime, EBADF, -1, BUFFER),
		CALL(times, 0, BUFFER),
		CALL(fadvise64, EBADF, -1, 0, 0, 0),
		CALL(waitid, EINVAL, GARBAGE, 0, 0, 0, 0),
	};
	size_t i;

	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (strcmp(calls[i].name, name) == 0)
			return calls[i];
	fprintf(stderr, "no distinctive call %s\n", name);
	_exit(STATUS_USAGE);
}

/* Makes the call; true if the kernel itself answered it. */
static int answered(const char *name)
{
	struct call call = find_call(name);
	const long *a = call.arguments;
	long result = syscall(call.number, a[0], a[1], a[2], a[3], a[4], a[5]);

	return (result == -1 ? errno : 0) == call.error;
}

static void __attribute__((unused)) require(const char *name)
{
	static const char refused[] = ": refused\n";

	if (answered(name))
		return;
	if (write(2, name, strlen(name)) < 0 || write(2, refused, sizeof(refused) - 1) < 0)
		_exit(STATUS_DENIED);
	_exit(STATUS_DENIED);
}

static void __attribute__((unused, noreturn)) setup_failed(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	_exit(STATUS_SETUP);
}

static int __attribute__((unused)) finish(const char *what, int status)
{
	printf("%s done\n", what);
	fflush(stdout);
	return status;
}

/* Enters the context `name` of a recording; the kernel answers EINVAL, and so it is without a recorder. */
static void __attribute__((unused)) enter_context(const void *name)
{
	syscall(SYS_prctl, SECLUDE_MARK, name, 0, 0, 0);
}

#endif
