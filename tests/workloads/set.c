// SPDX-License-Identifier: Apache-2.0
// set K [MILLISECONDS [FILE]]: eight of sixteen distinctive calls, another eight for each K of 0 to 49, then a pause,
// and again as long as there is no FILE.
// Of each pair exactly one is made, by one bit of 5 K: no set contains another, and any mixture holds a whole pair.
#include "call.h"

static const char *const pairs[8][2] = {
	{ "tee", "splice" },
	{ "sendfile", "fallocate" },
	{ "copy_file_range", "memfd_create" },
	{ "timerfd_create", "waitid" },
	{ "ioprio_get", "membarrier" },
	{ "semget", "shmget" },
	{ "msgget", "io_destroy" },
	{ "get_robust_list", "io_getevents" },
};

int main(int count, char **arguments)
{
	long number = count > 1 ? atol(arguments[1]) : -1, pause = count > 2 ? atol(arguments[2]) : 0;
	int i;

	if (number < 0 || number > 49) {
		fprintf(stderr, "usage: set 0..49 [MILLISECONDS [FILE]]\n");
		return STATUS_USAGE;
	}
	for (i = 0; i < 8; i++)
		require(pairs[i][number * 5 >> i & 1]);
	do
		usleep(pause * 1000);
	while (count > 3 && access(arguments[3], F_OK));
	printf("set %ld done\n", number);
	return 50 + number % 10;
}
