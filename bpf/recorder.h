/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the recorder (kernel side) and its reader (src/seclude/trace/layout.py) agree on: limits, numbers, layouts. */
#ifndef SECLUDE_RECORDER_H
#define SECLUDE_RECORDER_H

/* Raised with every change of a layout below: a reader never touches the pinned maps of another version. */
#define RECORDER_VERSION 2

/* prctl(SECLUDE_MARK, name, 0, 0, 0): the caller's process tree enters the context `name`. The kernel answers EINVAL. */
#define SECLUDE_MARK 0x5ec1de00

#define MAX_TARGETS 4096		/* recordings at once on one machine */
#define MAX_FACTS 131072		/* first-seen facts on one machine ... */
#define TARGET_FACTS 65536		/* ... and of one target, so that a hostile one cannot starve the rest */
#define MAX_NAMES 65536
#define TARGET_CONTEXTS 16384
#define TARGET_EXECUTABLES 2048
#define TARGET_NUMBERS 64		/* distinct numbers outside every table */
#define MAX_SETS 16384		/* contexts with a fast path; those beyond are recorded all the same */
#define MAX_ARGUMENTS 16384
#define TARGET_ARGUMENTS 1024
#define NAME_BYTES 248			/* a context or executable, its closing NUL included; longer ones are cut */
#define WORDS 9				/* 64-bit words of a set of calls: numbers 0 to 575 (x32 goes up to 547) */

enum abi { ABI_X86_64, ABI_X86, ABI_X32, ABI_AARCH64, ABI_ARM, ABIS };
enum phase { PHASE_RUNTIME, PHASE_APP, PHASE_DENIED, PHASES };
enum name_kind { NAME_CONTEXT, NAME_EXECUTABLE };
enum namespace_kind { NAMESPACE_MNT, NAMESPACE_PID };

/* Flags of a target, inherited by its marks ... */
#define FLAG_UNCONFINED 1	/* no filter will be installed: record from the entrypoint's exec on */
#define FLAG_COUNTS 2		/* count every call */
#define FLAG_WATCH 4		/* look for refused calls (watch.bpf.c) */
#define FLAG_ARGUMENTS 8	/* keep the distinct values of some arguments (argument_masks) */
#define FLAG_STACKS 16		/* stop a process at its first time of each call, for its stack to be read (watch.bpf.c) */
/* ... and of one mark only. */
#define FLAG_INIT 256		/* the process that will exec the entrypoint */
#define FLAG_APP 512		/* past that exec: calls are the application's */

#define NAME_OVERFLOW 0xffffffffu	/* a context or executable beyond the limits */

struct meta {
	__u32 version;
	__u32 next_target;	/* never reused while the maps live: stale marks must not match a new target */
	__u32 generation;	/* raised after user space has set a mark: what CPUs know of threads is out of date */
};

struct target {
	__u64 calls[PHASES][ABIS][WORDS];	/* the recording proper: complete whatever else overflows */
	__u64 started;				/* ns since boot */
	__u64 lost_calls;
	__u64 lost_facts;
	__u64 lost_contexts;
	__u64 lost_executables;
	__u64 lost_markers;
	__u32 flags;
	__u32 base_filters;			/* seccomp filters that the runtime itself runs under */
	__u32 facts;
	__u32 contexts;
	__u32 executables;
	__u32 numbers;
	__u32 arguments;
	__u32 set;				/* of the calls outside any context */
	__u32 last_name;			/* ids of names: from 1, within a target */
	__u32 ended;				/* its init has exited: nobody enters it any more */
};

/* Task storage of a thread-group leader; user space sets the first one of a target through a pidfd. */
struct mark {
	__u32 target;
	__u32 flags;
	__u32 context;		/* written together with `set`, as one word */
	__u32 set;
	__u32 executable;
	__u32 base_filters;
};

/* Calls that are known to be recorded in one context of one target: what the fast path asks. */
struct set {
	__u64 native[8];
	__u64 compat[8];
};

#define NO_SET 0		/* the task on this CPU is not recorded */
#define SLOW_SET 1		/* it is, and every call must be looked at: stays empty */

/* What the fast path needs to know of the thread that made the last call on this CPU. */
struct cpu {
	__u64 registers;	/* where the thread's registers are saved: tells it apart from every other thread */
	__u32 generation;	/* meta's, when the mark was read */
	__u32 set;
	__u32 abi;		/* of a call on its way through enter_slowly, and the three below */
	__u32 slot;
	__u32 phase;
	__u32 exec;
};

struct name {
	__u32 id;
	__u32 set;		/* of a context */
};

struct namespace_key {
	__u32 kind;
	__u32 inum;
};

struct name_key {
	__u32 target;
	__u32 kind;
	char text[NAME_BYTES];
};

struct fact_key {
	__u32 target;
	__u32 context;
	__u32 number;
	__u8 abi;
	__u8 phase;
	__u16 reserved;
};

struct fact {
	__u64 time;		/* ns since the target's start */
	__u64 count;
	__u64 arguments[6];
	__u32 tgid;
	__u32 tid;
	__u32 executable;
	__u32 reserved;
	char comm[16];
};

struct argument_call {
	__u32 target;
	__u32 number;
	__u32 abi;
};

struct argument_mask {
	__u32 mask;		/* bit i: keep argument i */
	__u32 overflowed;
};

struct argument_key {
	__u32 target;
	__u32 number;
	__u32 abi;
	__u32 reserved;
	__u64 values[6];	/* 0 where the mask has no bit */
};

#endif
