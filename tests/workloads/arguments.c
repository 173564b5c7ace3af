// SPDX-License-Identifier: Apache-2.0
// arguments CALL VALUE...: makes one call once for each value of its first argument, and prints the answers.
#include "call.h"

int main(int count, char **arguments)
{
	const char *name = count > 1 ? arguments[1] : "";
	long number = !strcmp(name, "personality") ? SYS_personality : !strcmp(name, "prctl") ? SYS_prctl :
		      !strcmp(name, "socket") ? SYS_socket : -1;
	long value, result;
	char *end;
	int i;

	if (number < 0 || count < 3) {
		fprintf(stderr, "usage: arguments personality|prctl|socket VALUE...\n");
		return STATUS_USAGE;
	}
	for (i = 2; i < count; i++) {
		value = strtoul(arguments[i], &end, 0);
		if (*end || end == arguments[i]) {
			fprintf(stderr, "arguments: %s is no number\n", arguments[i]);
			return STATUS_USAGE;
		}
		// socket(VALUE, SOCK_DGRAM, 0): type 2, protocol 0; the others take zeros.
		result = syscall(number, value, number == SYS_socket ? 2 : 0, 0, 0, 0);
		printf("%s(%s) %s\n", name, arguments[i], result >= 0 ? "ok" : strerrorname_np(errno));
	}
	return 61;
}
