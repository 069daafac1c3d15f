-- Finding jobs, see search.py: first only ids, each from an index, the newest first.
--
-- What PostgreSQL could do for all jobs at once it must not: OFFSET 0 has it look up job by job.

-- name: found_jobs
SELECT source.id FROM ({source}) AS source CROSS JOIN LATERAL (
    SELECT FROM procrastinate_jobs j LEFT JOIN files_job f ON f.job_id = j.id
    WHERE j.id = source.id AND {rest} OFFSET 0) AS job
ORDER BY source.id DESC LIMIT :limit OFFSET :offset

-- name: count_found_jobs
SELECT count(*) FROM (
    SELECT FROM ({source}) AS source CROSS JOIN LATERAL (
        SELECT FROM procrastinate_jobs j LEFT JOIN files_job f ON f.job_id = j.id
        WHERE j.id = source.id AND {rest} OFFSET 0) AS job
    LIMIT :limit) AS few

-- name: window_of_jobs
SELECT count(*) AS size, min(id) AS oldest FROM ({source}) AS source

-- name: jobs_of_id
SELECT DISTINCT id FROM unnest(CAST(:id AS bigint[])) AS id
WHERE id < :before ORDER BY id DESC LIMIT :window

-- name: jobs_of_task_id
SELECT job_id AS id FROM files_job WHERE task_id = :task_id AND job_id < :before LIMIT :window

-- name: jobs_of_user
SELECT job_id AS id FROM files_job
WHERE user_id = :user_id AND job_id < :before ORDER BY job_id DESC LIMIT :window

-- name: jobs_of_states
-- A few of each queue and state, of which the newest ones remain.
SELECT few.id
FROM unnest(CASE WHEN :queue IS NULL THEN files_queues() ELSE ARRAY[:queue]::varchar[] END) AS queue
CROSS JOIN unnest(coalesce(CAST(:status AS procrastinate_job_status[]),
    enum_range(NULL::procrastinate_job_status))) AS state
CROSS JOIN LATERAL (
    SELECT id FROM procrastinate_jobs
    WHERE queue_name = queue AND status = state AND id < :before ORDER BY id DESC LIMIT :window) AS few
ORDER BY few.id DESC LIMIT :window

-- name: jobs_of_task
SELECT id FROM procrastinate_jobs
WHERE task_name = :task AND id < :before ORDER BY id DESC LIMIT :window

-- name: jobs_of_all
SELECT id FROM procrastinate_jobs WHERE id < :before ORDER BY id DESC LIMIT :window
