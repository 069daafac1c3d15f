-- Jobs on their way from Redis, and back, see drain.py and to_redis.py.

-- name: last_id
SELECT coalesce(max(id), 0) FROM procrastinate_jobs

-- name: written
SELECT hash, signature FROM files_rq_job WHERE rq_id = :rq_id AND current AND job_id > :after
UNION ALL
SELECT hash, signature FROM files_rq_job WHERE rq_id = :rq_id AND NOT current AND job_id > :after

-- name: sendable
-- Jobs of a site that wait, in the order in which they would begin; those that wait for others after all others, as
-- they may name these.
SELECT j.id, r.rq_id FROM files_rq_job r JOIN procrastinate_jobs j ON j.id = r.job_id
WHERE r.current AND starts_with(r.origin, :prefix) AND j.status = 'todo'
ORDER BY j.scheduled_at IS NOT DISTINCT FROM files_never(), j.priority DESC, j.id

-- name: sendable_count
SELECT (SELECT count(*) FROM files_rq_job r JOIN procrastinate_jobs j ON j.id = r.job_id
        WHERE r.current AND starts_with(r.origin, :prefix) AND j.status = 'todo')
    + (SELECT count(*) FROM files_rq_outbox o JOIN files_rq_job r ON r.job_id = o.job_id
       WHERE starts_with(r.origin, :prefix))

-- name: running_count
SELECT count(*) FROM files_rq_job r JOIN procrastinate_jobs j ON j.id = r.job_id
WHERE starts_with(r.origin, :prefix) AND j.status = 'doing'

-- name: send
SELECT files_rq_send(:jobs)

-- name: outbox
SELECT j.id, r.rq_id FROM files_rq_outbox o JOIN files_rq_job r ON r.job_id = o.job_id
JOIN procrastinate_jobs j ON j.id = o.job_id WHERE starts_with(r.origin, :prefix)
ORDER BY j.scheduled_at IS NOT DISTINCT FROM files_never(), j.priority DESC, j.id

-- name: noted
SELECT r.job_id, r.rq_id, r.origin, files_rq_status('todo', j.scheduled_at),
    CASE WHEN j.scheduled_at <> files_never() THEN j.scheduled_at END, f.call IS NOT NULL, r.hash, r.signature
FROM files_rq_job r JOIN procrastinate_jobs j ON j.id = r.job_id
LEFT JOIN files_job f ON f.job_id = j.id WHERE r.job_id = :job_id

-- name: is_noted
SELECT EXISTS (SELECT FROM files_rq_outbox WHERE job_id = :job_id)

-- name: sent
SELECT files_rq_sent(:job_id)

-- name: unmet
-- The jobs for which a job waits, see files_rq_free_dependents.
SELECT d.on_rq_id FROM files_rq_dependency d
LEFT JOIN procrastinate_jobs other ON other.id = files_rq_newest(d.on_rq_id)
WHERE d.job_id = :job_id AND NOT (coalesce(other.status = 'succeeded', false)
    OR d.allow_failure AND coalesce(other.status NOT IN ('todo', 'doing'), true))
