/* seclude export: c */
/*
 * cc -o confine THIS.c -lseccomp && ./confine PROGRAM ARGUMENT...
 * Or compile it with -DSECLUDE_NO_MAIN and call seclude_load(), which returns 0 or a negative errno.
 * libseccomp sets no_new_privs as it loads the filter (seccomp_attr_set(3), SCMP_FLTATR_CTL_NNP).
 */
#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>

int seclude_load(void);

struct seclude_rule {
	const char *name;
	uint32_t action;
	unsigned int count;
	struct scmp_arg_cmp args[6];
};

static const uint32_t seclude_default = SCMP_ACT_ERRNO(EPERM);
static const int seclude_permits = 0;
static const uint32_t seclude_architectures[] = {
	SCMP_ARCH_X86_64,
	SCMP_ARCH_X86,
	0,
};
static const uint32_t seclude_flags[] = {
	0,
};
static const struct seclude_rule seclude_rules[] = {
	{"chown", SCMP_ACT_ALLOW, 0, {{0}}},
	{"clone", SCMP_ACT_ALLOW, 1, {{0, SCMP_CMP_MASKED_EQ, UINT64_C(0x7e020000), UINT64_C(0x0)}}},
	{"clone3", SCMP_ACT_ERRNO(ENOSYS), 0, {{0}}},
	{"execve", SCMP_ACT_ALLOW, 0, {{0}}},
	{"exit_group", SCMP_ACT_ALLOW, 0, {{0}}},
	{"personality", SCMP_ACT_ALLOW, 1, {{0, SCMP_CMP_EQ, UINT64_C(0x0), UINT64_C(0x0)}}},
	{"personality", SCMP_ACT_ALLOW, 1, {{0, SCMP_CMP_EQ, UINT64_C(0x8), UINT64_C(0x0)}}},
	{"ptrace", SCMP_ACT_ALLOW, 0, {{0}}},
	{"read", SCMP_ACT_ALLOW, 0, {{0}}},
	{"write", SCMP_ACT_ALLOW, 0, {{0}}},
	{NULL, 0, 0, {{0}}},
};

int seclude_load(void)
{
	scmp_filter_ctx filter = seccomp_init(seclude_default);
	int failed = filter ? 0 : -ENOMEM;

	for (const uint32_t *arch = seclude_architectures; !failed && *arch; arch++) {
		failed = seccomp_arch_add(filter, *arch);
		if (failed == -EEXIST)
			failed = 0;
	}
	for (const uint32_t *flag = seclude_flags; !failed && *flag; flag++)
		failed = seccomp_attr_set(filter, (enum scmp_filter_attr)*flag, 1);
	for (const struct seclude_rule *rule = seclude_rules; !failed && rule->name; rule++) {
		int number = seccomp_syscall_resolve_name(rule->name);

		/* A call that this libseccomp cannot name is refused by default, or else must not be let in. */
		if (number != __NR_SCMP_ERROR)
			failed = seccomp_rule_add_array(filter, rule->action, number, rule->count, rule->args);
		else if (seclude_permits)
			failed = -ENOSYS;
	}
	if (!failed)
		failed = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	return failed;
}

#ifndef SECLUDE_NO_MAIN
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int failed;

	if (argc < 2) {
		fprintf(stderr, "usage: %s PROGRAM [ARGUMENT...]\n", argv[0]);
		return 125;
	}
	failed = seclude_load();
	if (failed) {
		fprintf(stderr, "%s: the filter cannot be loaded: %s\n", argv[0], strerror(-failed));
		return 125;
	}
	execvp(argv[1], argv + 1);
	fprintf(stderr, "%s: %s: %s\n", argv[0], argv[1], strerror(errno));
	return 127;
}
#endif
