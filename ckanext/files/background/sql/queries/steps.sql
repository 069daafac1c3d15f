-- What a worker does with jobs.

-- name: claim_job
SELECT files_claim(:queues, :worker, true)

-- name: end_step
SELECT _outcome, _next, _transaction FROM files_end_step(
    :job, :worker, :attempts, :call, :percent, :text, :queues, :claim)

-- name: end_open_step
SELECT files_end_open_step(:job, :worker, :attempts, :call, :percent, :text)

-- name: fail_step
SELECT files_fail(
    :job, :worker, :attempts, :status, :error, :traceback, :percent, :text, :at, :outage,
    :call, :queue, :priority, :lock)

-- name: publish_progress
-- Before the end of the step or not at all: the end locks the job first, and then this row.
INSERT INTO files_job AS f (job_id, percent, text)
SELECT id, :percent, :text FROM procrastinate_jobs
WHERE id = :job AND status = 'doing' AND worker_id = :worker AND attempts = :attempts
FOR SHARE SKIP LOCKED
ON CONFLICT (job_id) DO UPDATE
SET percent = excluded.percent, text = coalesce(excluded.text, f.text)

-- name: claimed_jobs
SELECT id, attempts, coalesce(step, 0), abort_requested,
    abort_requested AND coalesce(interrupt, false)
FROM procrastinate_jobs LEFT JOIN files_job ON job_id = id
WHERE status = 'doing' AND worker_id = :worker

-- name: release_jobs
SELECT files_release_jobs(:worker, :job, :attempts, :max_rescues)

-- name: unclaim_jobs
SELECT files_unclaim_jobs(:worker, CAST(:kept AS bigint[]))

-- name: requeue_orphans
SELECT files_requeue_orphans()

-- name: next_due
SELECT extract(epoch FROM min(scheduled_at) - clock_timestamp())
FROM procrastinate_jobs WHERE status = 'todo' AND scheduled_at IS NOT NULL
