#include "report/leak_ages.h"

#include <math.h>
#include <string.h>

#include "source/sampling.h"

const char hf_leak_ages_sql[] =
	"SELECT sum(iif(o.holder_id IS NULL, o.held_size, 0)) AS held_size, "
	"sum(o.holder_id IS NULL) AS head_count, count(*) AS count, sum(o.size) AS size, "
	"iif(o.site_id IS NULL AND o.type_id IS NULL, o.size, NULL) AS object_size, "
	"max(ty.name) AS type, max(s.function) AS site, max(s.file) AS site_file, "
	"max(s.line) AS site_line, o.site_id, "
	"min(cast(round(sum(o.size * stands_for(o.site_id, o.size))) AS INTEGER), "
	"coalesce(max(l.est_size), sum(o.size))) AS est_size, "
	"min(cast(round(sum(stands_for(o.site_id, o.size))) AS INTEGER), "
	"coalesce(max(l.est_count), count(*))) AS est_count, "
	"min(o.age) AS youngest, max(o.age) AS oldest, min(o.id) AS id "
	"FROM object o LEFT JOIN type ty ON ty.id = o.type_id LEFT JOIN site s ON s.id = o.site_id "
	"LEFT JOIN stat_leak l ON l.site_id = o.site_id AND l.type_id IS o.type_id "
	"WHERE o.reachable = 0 AND o.age >= ?1 "
	"GROUP BY o.site_id, o.type_id, iif(o.site_id IS NULL AND o.type_id IS NULL, o.size, NULL)";

/* What is known of the ages of what is leaked. */
struct ages {
	uint64_t old_size, old_count;     /* of that age for certain */
	uint64_t young_size, young_count; /* certainly not */
	uint64_t est_size, est_count;
};

/* How many allocations a recorded one stands for. */
static void stands_for(sqlite3_context *context, int n, sqlite3_value **args)
{
	bool recorded = sqlite3_value_type(args[0]) != SQLITE_NULL;
	double period = recorded ? (double)*(const uint64_t *)sqlite3_user_data(context) : 0;
	sqlite3_result_double(context, hf_sample_weight(sqlite3_value_double(args[1]), period));
}

static enum hf_status read_ages(
	struct hf_report *report, int64_t older_s, struct ages *ret, struct hf_err *err)
{
	char sql[2048];
	sqlite3 *db = report->heap.db;
	if (sqlite3_create_function_v2(db, "stands_for", 2, SQLITE_UTF8,
		    &report->heap.profile_period, stands_for, NULL, NULL, NULL) != SQLITE_OK)
		return hf_db_error(db, err, "preparing estimates");
	_cleanup_stmt_ sqlite3_stmt *q = NULL, *estimate = NULL;
	enum hf_status status = hf_query(db, &q, err,
		"SELECT sum(iif(age >= ?1, size, 0)), sum(age >= ?1), sum(iif(age < ?1, size, 0)), "
		"sum(age < ?1) FROM object WHERE reachable = 0",
		"i", older_s);
	*ret = (struct ages){0};
	if (hf_row(q, &status, err)) {
		ret->old_size = (uint64_t)hf_column_int(q, 0);
		ret->old_count = (uint64_t)hf_column_int(q, 1);
		ret->young_size = (uint64_t)hf_column_int(q, 2);
		ret->young_count = (uint64_t)hf_column_int(q, 3);
	}
	snprintf(sql, sizeof(sql), "SELECT sum(est_size), sum(est_count) FROM (%s)",
		hf_leak_ages_sql);
	if (status == HF_OK)
		status = hf_query(db, &estimate, err, sql, "i", older_s);
	if (hf_row(estimate, &status, err)) {
		ret->est_size = (uint64_t)hf_column_int(estimate, 0);
		ret->est_count = (uint64_t)hf_column_int(estimate, 1);
	}
	return status;
}

/*
 * Samples tell that more than `limit` bytes are leaked and old, or else they would be what they are
 * less than once in a million times. An object of x periods is recorded with the probability
 * p = 1 − e^(−x); with f = ln((1 − e^(−(c + 1)x)) / p) + cx the mean of e^(Σ f of the recorded
 * ones) is e^(c × periods in all), for any c > 0, so that it passes e^(c × periods in the limit) ×
 * 10^6 with a probability of 10^-6 at most (Markov) if there are no more bytes than that. Some
 * values of c are tried, and share the probability.
 */
static enum hf_status samples_tell(struct hf_report *report, const struct hf_leaks_options *options,
	bool *ret, struct hf_err *err)
{
	static const double c[] = {0.1, 0.3, 1, 3, 10, 30, 100};
	enum { N = sizeof(c) / sizeof(c[0]) };
	double sum[N] = {0}, period = (double)report->heap.profile_period;
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT size FROM object WHERE reachable = 0 AND age >= ? AND site_id IS NOT NULL",
		"i", options->older_s);
	while (hf_row(q, &status, err)) {
		double size = sqlite3_column_double(q, 0), x = (size > 0 ? size : 1) / period;
		for (int k = 0; k < N; k++)
			sum[k] += log(expm1(-(c[k] + 1) * x) / expm1(-x)) + c[k] * x;
	}
	*ret = false;
	for (int k = 0; k < N; k++)
		*ret |= sum[k] - c[k] * (double)options->limit / period > log(1e6 * N);
	return status;
}

/* The samples have the weights that the last period gives them: it was not changed to a longer one.
 */
static enum hf_status weights_are_known(struct hf_report *report, bool *ret, struct hf_err *err)
{
	int64_t other = 0;
	enum hf_status status = hf_query_int(report->heap.db, &other, err,
		"SELECT EXISTS (SELECT 1 FROM (SELECT site_id, sum(size * stands_for(site_id, "
		"size)) AS bytes FROM object WHERE site_id IS NOT NULL GROUP BY site_id) o "
		"LEFT JOIN site s ON s.id = o.site_id "
		"WHERE o.bytes > 1.05 * coalesce(s.live_bytes, 0) + 64)",
		"");
	*ret = !other;
	return status;
}

static void facts(struct hf_report *report, int64_t older_s, const struct ages *a,
	const struct hf_leaks_found *found)
{
	struct hf_emit *emit = report->emit;
	struct hf_cell none = hf_cell_null();
	hf_emit_fact(emit, "older", NULL, HF_VALUE_AGE, hf_cell_int(older_s));
	hf_emit_fact(emit, "older_size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)a->old_size));
	hf_emit_fact(emit, "older_count", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)a->old_count));
	hf_emit_fact(
		emit, "older_size_max", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)found->most));
	hf_emit_fact(emit, "older_est_size", NULL, HF_VALUE_SIZE,
		found->has_estimate ? hf_cell_int((int64_t)a->est_size) : none);
	hf_emit_fact(emit, "older_est_count", NULL, HF_VALUE_COUNT,
		found->has_estimate ? hf_cell_int((int64_t)a->est_count) : none);
}

static void say(struct hf_report *report, int64_t older_s, const struct ages *a,
	const struct hf_leaks_found *found)
{
	char size[HF_NUMBER_SIZE], count[HF_NUMBER_SIZE], age[HF_NUMBER_SIZE];
	struct hf_emit *emit = report->emit;
	facts(report, older_s, a, found);
	hf_human_age(age, older_s);
	if (found->most == found->least) {
		hf_emit_line(emit, "of them %s in %s object%s older than %s",
			hf_human_size(size, a->old_size), hf_human_count(count, a->old_count),
			a->old_count == 1 ? " is" : "s are", age);
		return;
	}
	char most[HF_NUMBER_SIZE], n[HF_NUMBER_SIZE];
	hf_emit_line(emit, "of them older than %s: at least %s, at most %s", age,
		hf_human_size(size, found->least), hf_human_size(most, found->most));
	if (found->has_estimate)
		hf_emit_line(emit,
			"by %s sample%s ~%s in ~%s object%s; the ages of the others are not known",
			hf_human_count(n, a->old_count), a->old_count == 1 ? "" : "s",
			hf_human_size(size, a->est_size), hf_human_count(count, a->est_count),
			a->est_count == 1 ? "" : "s");
	else
		hf_emit_line(emit, "%s object%s known; the ages of the others are not",
			hf_human_count(n, a->old_count), a->old_count == 1 ? " is" : "s are");
}

enum hf_status hf_leak_ages(struct hf_report *report, const struct hf_leaks_options *options,
	struct hf_leaks_found *ret, uint64_t *ret_listed, struct hf_err *err)
{
	const struct hf_heapdb *heap = &report->heap;
	int64_t has_ages = 0;
	struct ages ages = {0};
	enum hf_status status = hf_query_int(heap->db, &has_ages, err,
		"SELECT EXISTS (SELECT 1 FROM object WHERE age IS NOT NULL)", "");
	if (status == HF_OK && !has_ages)
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"--older: this dump does not tell when objects were allocated; "
			"'holdfast run --exact' or '--sample' records it");
	if (status == HF_OK)
		status = read_ages(report, options->older_s, &ages, err);
	if (status != HF_OK)
		return status;
	*ret = (struct hf_leaks_found){.least = ages.old_size,
		.most = heap->leak_size - ages.young_size,
		.has_estimate = heap->profile_sampled && heap->profile_period > 1};
	*ret_listed = ages.old_count;
	if (ages.est_size > ret->most)
		ages.est_size = ret->most;
	if (ages.est_count > heap->leak_count - ages.young_count)
		ages.est_count = heap->leak_count - ages.young_count;
	ret->estimate = ages.est_size;
	if (ret->has_estimate && ret->least <= options->limit && ret->most > options->limit)
		status = samples_tell(report, options, &ret->estimate_is_over, err);
	if (status == HF_OK && ret->estimate_is_over)
		status = weights_are_known(report, &ret->estimate_is_over, err);
	if (status == HF_OK)
		say(report, options->older_s, &ages, ret);
	return status;
}
