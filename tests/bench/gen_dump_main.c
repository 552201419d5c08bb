/* gen_dump FILE OBJECTS [EDGES_PER_OBJECT [SEED]]: write a synthetic dump. */
#include <stdio.h>
#include <stdlib.h>

#include "gen_dump.h"

int main(int argc, char **argv)
{
	if (argc < 3 || argc > 5) {
		fprintf(stderr, "usage: gen_dump FILE OBJECTS [EDGES_PER_OBJECT [SEED]]\n");
		return 2;
	}
	struct gen_options options = {.n_objects = strtoull(argv[2], NULL, 0),
		.edges_per_object = argc > 3 ? strtod(argv[3], NULL) : 3,
		.seed = argc > 4 ? strtoull(argv[4], NULL, 0) : 1};
	struct gen_totals totals;
	struct hf_err err;
	if (gen_dump_file(argv[1], &options, &totals, &err) != HF_OK) {
		fprintf(stderr, "gen_dump: %s\n", err.msg);
		return 1;
	}
	printf("{\"objects\":%lu,\"edges\":%lu,\"modrefs\":%lu,\"roots\":%lu,\"usable_bytes\":%lu}"
	       "\n",
		totals.n_objects, totals.n_edges, totals.n_modrefs, totals.n_roots,
		totals.usable_bytes);
	return 0;
}
