// SPDX-License-Identifier: Apache-2.0
// loop [N [FILE]]: N times getppid, then the ns that one took; with FILE prints its pid first and waits for FILE to appear.
#include "call.h"
#include <time.h>

int main(int count, char **arguments)
{
	long total = count > 1 ? atol(arguments[1]) : 5000000, i;
	struct timespec before, after;

	if (total < 1) {
		fprintf(stderr, "usage: loop [N [FILE]]\n");
		return STATUS_USAGE;
	}
	if (count > 2) {
		printf("%d\n", getpid());
		fflush(stdout);
		while (access(arguments[2], F_OK))
			usleep(1000);
	}
	for (i = 0; i < total / 100; i++)
		syscall(SYS_getppid);
	clock_gettime(CLOCK_MONOTONIC, &before);
	for (i = 0; i < total; i++)
		syscall(SYS_getppid);
	clock_gettime(CLOCK_MONOTONIC, &after);
	printf("%.1f\n", ((after.tv_sec - before.tv_sec) * 1e9 + (after.tv_nsec - before.tv_nsec)) / total);
	return 0;
}
