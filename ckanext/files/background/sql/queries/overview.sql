-- Numbers for people, each counted up to a limit.

-- name: counts_by_queue
SELECT queue, state::text AS state, found.count
FROM unnest(files_queues()) AS queue
CROSS JOIN unnest(enum_range(NULL::procrastinate_job_status)) AS state
CROSS JOIN LATERAL (
    SELECT count(*) FROM (
        SELECT FROM procrastinate_jobs WHERE queue_name = queue AND status = state LIMIT :most
    ) AS few) AS found
WHERE found.count > 0 ORDER BY queue, state

-- name: counts_of_user
SELECT job.queue_name AS queue, job.status::text AS state, count(*) AS count
FROM (
    SELECT job_id FROM files_job WHERE user_id = :user_id ORDER BY job_id DESC LIMIT :most) AS own
CROSS JOIN LATERAL (
    SELECT queue_name, status FROM procrastinate_jobs WHERE id = own.job_id OFFSET 0) AS job
GROUP BY job.queue_name, job.status ORDER BY job.queue_name, job.status

-- name: due_by_queue
-- Also jobs that have begun, and whose worker has released them or is gone.
SELECT queue, due.count
FROM unnest(files_queues()) AS queue
CROSS JOIN LATERAL (
    SELECT count(*) FROM (
        (SELECT FROM procrastinate_jobs
         WHERE queue_name = queue AND status = 'todo' AND scheduled_at IS NULL LIMIT :most)
        UNION ALL
        (SELECT FROM procrastinate_jobs
         WHERE queue_name = queue AND status = 'todo' AND scheduled_at <= now() LIMIT :most)
        UNION ALL
        (SELECT FROM procrastinate_jobs
         WHERE queue_name = queue AND status = 'doing'
           AND (worker_id IS NULL OR worker_id <> ALL (:working)) LIMIT :most)
        LIMIT :most) AS few) AS due
WHERE due.count > 0

-- name: used_queues
SELECT queue FROM unnest(files_queues()) AS queue UNION SELECT queue FROM files_paused_queue

-- name: ends_by_minute
SELECT date_trunc('minute', at) AS minute, type::text AS type, count(*) AS count, min(at) AS oldest
FROM (
    SELECT at, type FROM procrastinate_events
    WHERE type IN ('succeeded', 'failed') AND at > now() - interval '1 hour'
    ORDER BY at DESC LIMIT :most) AS ended
GROUP BY date_trunc('minute', at), type

-- name: ends_of_user_by_minute
SELECT date_trunc('minute', at) AS minute, type::text AS type, count(*) AS count, min(at) AS oldest
FROM (
    SELECT job_id FROM files_job WHERE user_id = :user_id ORDER BY job_id DESC LIMIT :most) AS own
CROSS JOIN LATERAL (
    SELECT at, type FROM procrastinate_events
    WHERE job_id = own.job_id AND type IN ('succeeded', 'failed')
      AND at > now() - interval '1 hour' OFFSET 0) AS ended
GROUP BY date_trunc('minute', at), type
