#include "dump.h"

#include <string.h>

#include "describe.h"
#include "roots/roots.h"
#include "scan/scan.h"

struct dump {
	const struct hf_dump_input *in;
	struct hf_images images;
	struct hf_image_files files;
	struct hf_index index;
	struct hf_walk walk;
	struct hf_layout layout;
	struct hf_roots roots;
	struct hf_writer *writer;
	uint32_t broken_images;
	struct hf_threads threads; /* the program's */
};

/* Threads of ours, whose stacks are in our memory, are no part of the program. */
static enum hf_status find_threads(struct dump *d, struct hf_err *err)
{
	for (size_t i = 0; i < hf_threads_count(d->in->threads); i++) {
		const struct hf_thread *t = hf_threads_at(d->in->threads, i);
		bool ours = false;
		for (size_t k = 0; k < d->in->n_own; k++)
			ours |= t->regs.rsp >= d->in->own[k].start &&
				t->regs.rsp < d->in->own[k].end;
		struct hf_thread *slot = ours ? NULL : hf_vec_push(&d->threads.threads);
		if (slot)
			*slot = *t;
		else if (!ours)
			return hf_err_set(err, HF_E_NOMEM, "no memory for the list of threads");
	}
	return HF_OK;
}

static enum hf_status find_images(struct dump *d, struct hf_err *err)
{
	return hf_images_read(&d->images, d->in->mem, d->in->pool, &d->broken_images, err);
}

static enum hf_status find_objects(struct dump *d, struct hf_err *err)
{
	size_t n = hf_threads_count(&d->threads);
	struct hf_walk_thread *threads = hf_pool_alloc(d->in->pool, (n + 1) * sizeof(*threads));
	if (!threads)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the list of threads");
	for (size_t i = 0; i < n; i++) {
		const struct hf_thread *t = hf_threads_at(&d->threads, i);
		if (!(t->flags & HF_THREAD_NO_REGISTERS))
			threads[i] = (struct hf_walk_thread){t->regs.fs_base, t->regs.rsp,
				t->regs.rip, t->flags & HF_THREAD_CRASHED};
	}
	hf_walk_init(&d->walk);
	d->walk.mem = d->in->mem;
	d->walk.maps = d->in->maps;
	d->walk.images = &d->images;
	d->walk.threads = threads;
	d->walk.files = &d->files;
	d->walk.n_threads = n;
	d->walk.own = d->in->own;
	d->walk.n_own = d->in->n_own;
	d->walk.pool = d->in->pool;
	d->walk.index = &d->index;
	enum hf_status status = hf_walk_all(&d->walk, err);
	return status ? status : hf_index_seal(&d->index, err);
}

static enum hf_status find_areas(struct dump *d, struct hf_err *err)
{
	d->layout = (struct hf_layout){
		.mem = d->in->mem,
		.maps = d->in->maps,
		.images = &d->images,
		.threads = &d->threads,
		.walk = &d->walk,
		.registered = d->in->registered,
		.n_registered = d->in->n_registered,
		.main_tid = d->in->about.pid,
		.pool = d->in->pool,
		.own_image = d->in->own_code ? hf_images_find(&d->images, d->in->own_code) : -1,
	};
	return hf_layout_build(&d->layout, err);
}

static enum hf_status find_roots(struct dump *d, struct hf_err *err)
{
	return hf_roots_find(&d->roots, &d->layout, &d->index, d->in->pool, &d->files, err);
}

static enum hf_status write_file(struct dump *d, struct hf_err *err)
{
	struct hf_describe about = {d->in, &d->images, &d->index, &d->walk, &d->layout, &d->roots,
		d->broken_images, d->writer};
	struct hf_scan_totals totals;
	hf_describe_process(&about);
	hf_describe_modules(&about);
	hf_describe_mappings(&about);
	hf_describe_threads(&about);
	hf_describe_arenas(&about);
	enum hf_status status = hf_scan_list(&d->index, d->writer, err);
	if (!status)
		status =
			hf_scan_objects(d->in->mem, &d->index, &d->images, d->writer, &totals, err);
	if (status)
		return status;
	if (d->in->totals)
		*d->in->totals = (struct hf_dump_totals){
			d->index.n_objects, d->index.live_bytes, totals.n_edges};
	hf_describe_roots(&about);
	hf_describe_labels(&about);
	hf_describe_sites(&about);
	hf_describe_contents(&about);
	hf_describe_checks(&about, &totals);
	status = hf_writer_finish(d->writer, err);
	if (!status && hf_writer_partial(d->writer))
		return hf_err_set(err, HF_E_PARTIAL, "the dump is partial: %s",
			hf_writer_partial_reason(d->writer));
	return status;
}

static enum hf_status open_writer(struct dump *d, struct hf_err *err)
{
	struct hf_writer_options options = {.codec = HF_CODEC_LZ4, .time_ns = d->in->about.time_ns};
	if (d->in->token)
		memcpy(options.token, d->in->token, sizeof(options.token));
	else
		hf_describe_token(options.token);
	return hf_writer_create(d->in->sink, &options, &d->writer, err);
}

enum hf_status hf_dump_write(const struct hf_dump_input *input, struct hf_err *err)
{
	static enum hf_status (*const steps[])(struct dump *, struct hf_err *) = {open_writer,
		find_threads, find_images, find_objects, find_areas, find_roots, write_file};
	struct dump d = {.in = input,
		.files = {input->snapshot_dir ? input->snapshot_dir : input->proc_dir,
			input->root_dir}};
	enum hf_status status = HF_OK;
	hf_index_init(&d.index);
	hf_vec_init(&d.threads.threads, sizeof(struct hf_thread));
	for (size_t i = 0; !status && i < sizeof(steps) / sizeof(steps[0]); i++)
		status = steps[i](&d, err);
	hf_writer_destroy(d.writer);
	hf_roots_deinit(&d.roots);
	hf_layout_deinit(&d.layout);
	hf_walk_deinit(&d.walk);
	hf_index_deinit(&d.index);
	hf_images_deinit(&d.images);
	hf_vec_deinit(&d.threads.threads);
	return status;
}
