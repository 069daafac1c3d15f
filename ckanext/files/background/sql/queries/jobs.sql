-- Jobs: for the callers who defer them, for people and for operators.

-- name: describe_jobs
INSERT INTO files_job (job_id, task_id, user_id)
SELECT id, :task_id, :user_id FROM unnest(CAST(:ids AS bigint[])) AS id

-- name: jobs_by_ids
SELECT j.id, f.task_id, f.user_id, j.task_name AS task, f.title, r.rq_id,
    coalesce(files_summary(j.task_name, j.args), '') AS args_summary,
    files_parts(j.task_name, j.args, f.parts, f.call, j.status = 'succeeded') AS parts, j.queue_name AS queue,
    j.status::text AS status, j.priority, j.lock, j.queueing_lock,
    nullif(j.scheduled_at, files_never()) AS scheduled_at,
    j.status = 'todo' AND j.scheduled_at IS NOT DISTINCT FROM files_never() AS dependent,
    j.attempts, j.abort_requested, j.worker_id IS NOT NULL AS running,
    j.status = 'todo' AND j.lock IS NOT NULL
        AND files_is_locked(j.id, j.lock, j.priority) AS locked,
    j.status IN ('todo', 'doing') AND j.worker_id IS NULL AND EXISTS (
        SELECT FROM files_paused_queue WHERE queue = j.queue_name) AS paused,
    coalesce(f.step, (j.status = 'succeeded')::integer) AS step, f.percent, f.text,
    f.error, f.traceback, history.*
FROM unnest(CAST(:ids AS bigint[])) AS page (id) JOIN procrastinate_jobs j ON j.id = page.id
LEFT JOIN files_job f ON f.job_id = page.id
LEFT JOIN files_rq_job r ON r.job_id = page.id
CROSS JOIN LATERAL (
    SELECT min(at) FILTER (WHERE type = 'deferred') AS created,
        min(at) FILTER (WHERE type = 'started') AS started,
        max(at) FILTER (
            WHERE type IN ('succeeded', 'failed', 'cancelled', 'aborted')) AS finished
    FROM procrastinate_events WHERE job_id = page.id) history
ORDER BY page.id DESC

-- name: job_with_rq_id
-- :run is the number of a run that has begun, 1 for any job.
SELECT id FROM procrastinate_jobs
WHERE id = files_rq_newest(:rq_id) AND :run <= greatest(1, attempts + (status = 'doing')::integer)

-- name: job_dependencies
SELECT d.on_rq_id AS rq_id, j.id AS job_id, j.status::text AS status
FROM files_rq_dependency d LEFT JOIN procrastinate_jobs j ON j.id = files_rq_newest(d.on_rq_id)
WHERE d.job_id = :id ORDER BY d.on_rq_id

-- name: job_arguments
SELECT args FROM procrastinate_jobs WHERE id = :id

-- name: task_runs
SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status = 'doing' AND task_name = :task)

-- name: job_with_lock
-- A job between two steps has its lock, too.
SELECT min(id) FROM procrastinate_jobs WHERE lock = :lock AND status = 'doing'

-- name: job_events
-- What a job waits for is an event of its own in the table, "scheduled", right before the event that
-- has put the job off. Each failure puts it off to a time. Without one its step was lost: see
-- files_release_jobs. A job that depends on others is put off to no time that people read.
SELECT CASE WHEN type = 'deferred_for_retry' AND due IS NULL THEN 'interrupted' ELSE type::text END
    AS type, at, nullif(due, files_never()) AS due
FROM (
    SELECT id, type, at, CASE WHEN type IN ('deferred', 'deferred_for_retry')
        AND lag(type) OVER by_id = 'scheduled' THEN lag(at) OVER by_id END AS due
    FROM procrastinate_events WHERE job_id = :id WINDOW by_id AS (ORDER BY id)) AS event
WHERE type <> 'scheduled' ORDER BY id

-- name: lock_jobs
-- In the order of their ids, so that two requests that change many jobs wait for each other once.
SELECT id FROM procrastinate_jobs WHERE id = ANY (:ids) ORDER BY id FOR NO KEY UPDATE

-- name: cancel_jobs
UPDATE procrastinate_jobs SET
    status = CASE
        WHEN status = 'todo' THEN 'cancelled'
        WHEN worker_id IS NULL THEN 'aborted'
        ELSE status END::procrastinate_job_status,
    attempts = attempts + CASE WHEN status = 'doing' AND worker_id IS NULL THEN 1 ELSE 0 END,
    abort_requested = status = 'doing' AND worker_id IS NOT NULL
WHERE id = ANY (:ids) AND status IN ('todo', 'doing') RETURNING id, status::text

-- name: leave_resume_order
-- A statement of its own: it sees what a worker has committed while cancel_jobs waited for its lock.
UPDATE files_job SET resume_order = NULL WHERE job_id = ANY (:ids)

-- name: interrupt_jobs
INSERT INTO files_job (job_id, interrupt) SELECT id, true FROM unnest(CAST(:ids AS bigint[])) AS id
ON CONFLICT (job_id) DO UPDATE SET interrupt = true

-- name: retry_jobs
-- Procrastinate's trigger for events only knows the retry of a failed job, and its trigger for
-- notifications no retry at all. A job on its way to Redis runs there.
WITH ended AS (
    SELECT id, queue_name, status FROM procrastinate_jobs
    WHERE id = ANY (:ids) AND status IN ('failed', 'cancelled', 'aborted')
      AND id NOT IN (SELECT job_id FROM files_rq_outbox) FOR NO KEY UPDATE
), reset AS (
    UPDATE files_job
    SET retries = 0, outages = 0, rescues = 0, resume_order = NULL, interrupt = false
    WHERE job_id IN (SELECT id FROM ended)
), history AS (
    INSERT INTO procrastinate_events (job_id, type)
    SELECT id, 'retried' FROM ended WHERE status <> 'failed'
), payload AS (
    SELECT id, queue_name,
        json_build_object('type', 'job_inserted', 'job_id', id)::text AS text FROM ended
)
SELECT files_return_to_todo(id, NULL, NULL),
    pg_notify('procrastinate_any_queue_v1', text),
    pg_notify('procrastinate_queue_v1#' || queue_name, text)
FROM payload

-- name: delete_jobs
-- A job on its way to Redis has its payload only here.
DELETE FROM procrastinate_jobs WHERE id = ANY (:ids)
  AND status IN ('succeeded', 'failed', 'cancelled', 'aborted')
  AND id NOT IN (SELECT job_id FROM files_rq_outbox)

-- name: old_jobs
-- Pages of all jobs by their ids: each job is read once, whatever the planner's statistics are.
-- A subquery for each job reads its history: the planner cannot turn that into a join with the
-- history of all jobs. The event "scheduled" has the time to which a job was put off, which may
-- be in the future.
WITH page AS MATERIALIZED (
    SELECT id FROM procrastinate_jobs WHERE id > :after ORDER BY id LIMIT :size
), old AS (
    SELECT j.id, j.status::text AS status FROM procrastinate_jobs j
    WHERE j.id IN (SELECT id FROM page)
      AND j.status = ANY(CAST(:states AS procrastinate_job_status[]))
      AND (SELECT max(at) FROM procrastinate_events
           WHERE job_id = j.id AND type <> 'scheduled') < :before
      AND j.id NOT IN (SELECT job_id FROM files_rq_outbox)
    {lock}
)
SELECT (SELECT max(id) FROM page), array_agg(id), array_agg(status) FROM old

-- name: all_jobs
SELECT id, queue_name, task_name, lock, queueing_lock, args, status::text AS status,
    scheduled_at, attempts
FROM procrastinate_jobs ORDER BY id

-- name: reset_job_ids
SELECT setval('procrastinate_jobs_id_seq', 1, false)

-- name: empty_table
DELETE FROM {table}
