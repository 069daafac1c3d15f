-- Jobs of CKAN's toolkit.enqueue_job, see store.py. Only the current job of an id is seen.

-- name: put
SELECT files_rq_put(:rq_id, :origin, :queue, :task, :priority, :at, :title, :user_id, :hash, :signature,
    :depends_on, :allow_failure, :unique)

-- name: save
SELECT files_rq_save(:job_id, :title, :hash, :signature)

-- name: cancel
SELECT count(files_rq_cancel(:rq_id))

-- name: drop
SELECT files_rq_drop(:rq_id)

-- name: empty
SELECT files_rq_empty(:origin, :queue)

-- name: find
-- OFFSET 0: with old statistics PostgreSQL would begin with all jobs.
SELECT r.job_id, r.rq_id, r.origin, files_rq_status(j.status, j.scheduled_at), r.hash, r.signature
FROM files_rq_job r CROSS JOIN LATERAL (
    SELECT status, scheduled_at FROM procrastinate_jobs WHERE id = r.job_id OFFSET 0) AS j
WHERE r.current AND r.rq_id = ANY (:rq_ids)

-- name: statuses
-- A job that has lost its id and runs on comes last, and so counts.
SELECT r.rq_id, files_rq_status(j.status, j.scheduled_at)
FROM files_rq_job r JOIN procrastinate_jobs j ON j.id = r.job_id
WHERE r.current AND r.rq_id = ANY (:rq_ids)
UNION ALL
SELECT r.rq_id, 'doing' FROM files_rq_job r JOIN procrastinate_jobs j ON j.id = r.job_id
WHERE NOT r.current AND r.rq_id = ANY (:rq_ids) AND j.status = 'doing'

-- name: find_run
-- By the id of a run, which the job has begun.
SELECT r.job_id, r.rq_id, r.origin, files_rq_status(j.status, j.scheduled_at), r.hash, r.signature
FROM files_rq_job r JOIN procrastinate_jobs j ON j.id = r.job_id
WHERE r.current AND r.rq_id = :rq_id AND :run BETWEEN 2 AND j.attempts + (j.status = 'doing')::integer

-- name: of_job
SELECT r.job_id, r.rq_id, r.origin, files_rq_status(j.status, j.scheduled_at), r.hash, r.signature
FROM files_rq_job r JOIN procrastinate_jobs j ON j.id = r.job_id WHERE r.job_id = :job_id

-- name: traceback
SELECT f.traceback FROM files_rq_job r JOIN procrastinate_jobs j ON j.id = r.job_id JOIN files_job f ON f.job_id = j.id
WHERE r.current AND r.rq_id = :rq_id AND j.status = 'failed'

-- name: waiting
SELECT job_id, rq_id, origin, 'todo', hash, signature
FROM files_rq_waiting(:origin, :queue, :offset, :limit)

-- name: count
SELECT count(*) FROM procrastinate_jobs j JOIN files_rq_job r ON r.job_id = j.id
WHERE j.status = 'todo' AND j.scheduled_at IS NULL AND j.queue_name = :queue
  AND r.current AND r.origin = :origin

-- name: ids
SELECT r.rq_id FROM procrastinate_jobs j JOIN files_rq_job r ON r.job_id = j.id
WHERE j.queue_name = :queue
  AND j.status = CASE WHEN :status IN ('scheduled', 'deferred') THEN 'todo' ELSE :status END::procrastinate_job_status
  AND files_rq_status(j.status, j.scheduled_at) = :status AND r.current AND r.origin = :origin
ORDER BY j.scheduled_at, j.id

-- name: origins
-- One look into the index for each.
WITH RECURSIVE origins (name) AS (
    (SELECT origin FROM files_rq_job ORDER BY origin LIMIT 1)
    UNION ALL
    SELECT (SELECT r.origin FROM files_rq_job r WHERE r.origin > origins.name ORDER BY r.origin LIMIT 1)
    FROM origins WHERE origins.name IS NOT NULL)
SELECT name FROM origins WHERE starts_with(name, :prefix)

-- name: result
-- A job that runs again has not returned anything yet.
SELECT r.result FROM files_rq_job r JOIN procrastinate_jobs j ON j.id = r.job_id
WHERE r.current AND r.rq_id = :rq_id AND j.status = 'succeeded'
  AND (r.result_until IS NULL OR r.result_until > now())

-- name: keep_result
UPDATE files_rq_job SET result = :result, result_until = clock_timestamp() + make_interval(secs => :seconds)
WHERE job_id = :job_id RETURNING job_id
