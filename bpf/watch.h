/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the denial watch (kernel side) and its reader (src/seclude/trace/denials.py) agree on: limits and layouts. */
#ifndef SECLUDE_WATCH_H
#define SECLUDE_WATCH_H

#define MAX_DENIALS 16384	/* (process, call) pairs that are told apart ... */
#define MAX_MERGED 16384	/* ... and beyond those calls alone, so that none is missed */
#define MAX_SCOPES 1024
#define FRAMES 16
#define MODULES 6
#define MODULE_BYTES 40
#define PATH_PARTS 12		/* the last parts of an executable's path, the file's own name first */
#define PART_BYTES 40
#define CGROUP_BYTES 88		/* "libpod-", 64 digits, ".scope" */
#define OTHER_NUMBER 0xffffffffu	/* every number outside every table */
#define MAX_FILTER_STEPS 8388608	/* bpf_loop takes no more; the kernel allows filters 32768 in all (MAX_INSNS_PER_PATH) */

struct watch_config {
	__u64 pause_until;	/* ns since boot: until then a process that is new here is stopped for user space to look at */
	__u32 all;		/* every process on the machine that has a filter */
	__u32 ancestor;		/* this process and its descendants; 0: none */
};

enum scope_kind { SCOPE_MNT, SCOPE_PID };

struct scope {
	__u32 kind;
	__u32 inum;
};

struct denial_key {
	__u32 target;		/* the recorder's, 0 for none */
	__u32 context;		/* the recorder's id of a name */
	__u32 tgid;		/* 0: processes beyond the limit */
	__u32 number;		/* the recorder's slot */
	__u16 action;		/* the upper half of a filter's answer */
	__u16 data;		/* and the lower */
	__u32 abi;
};

/* A user address: where in which mapped file. */
struct place {
	__u64 address;
	__u64 offset;
	__u32 module;		/* index + 1, 0 for none */
	__u32 guess;		/* what lies on top of the stack, perhaps the caller of a function without a frame */
};

struct module {
	__u64 inode;
	char name[MODULE_BYTES];
};

/* All but the counts and times is of the first time. */
struct denial {
	__u64 count;
	__u64 first;		/* ns since boot */
	__u64 last;
	__u64 started;		/* the process's start, ns since boot */
	__u64 arguments[6];
	__u32 tid;
	__u32 mnt;		/* inode numbers of its namespaces */
	__u32 pid;
	__u32 paused;		/* it was sent SIGSTOP */
	__u32 places_used;
	__u32 modules_used;
	__u32 parts_used;
	__u32 compat;
	char comm[16];
	char cgroup[2][CGROUP_BYTES];	/* the names of its control group and of the one above */
	char path[PATH_PARTS][PART_BYTES];
	struct place places[FRAMES];
	struct module modules[MODULES];
};

#endif
