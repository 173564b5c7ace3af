// SPDX-License-Identifier: Apache-2.0
// memory [MIB]: makes a distinctive call, then fills that much memory (1 GiB unless told), to be killed on the way.
#include "call.h"
#include <sys/mman.h>

int main(int count, char **arguments)
{
	long mebibytes = count > 1 ? atol(arguments[1]) : 1024, i;
	char *block;

	require("mincore");
	printf("memory ready\n");
	fflush(stdout);
	for (i = 0; i < mebibytes; i++) {
		block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (block == MAP_FAILED)
			setup_failed("mmap");
		memset(block, 1, 1 << 20);
	}
	return finish("memory", 62);
}
