-- The schedules of periodic tasks.

-- name: lock_schedules
SELECT pg_try_advisory_xact_lock(:key)

-- name: wait_briefly
-- An open transaction may have written a job with the same queueing lock, and stay open for hours.
-- The worker's main thread must not wait for it: the worker would look dead.
SET LOCAL lock_timeout = '100ms'

-- name: register_schedule
-- A schedule with other times is a new one.
INSERT INTO files_schedule AS s (task_name, periodic_id, cron, timezone, since)
VALUES (:task, :id, :cron, :timezone, :now)
ON CONFLICT (task_name, periodic_id) DO UPDATE
SET cron = excluded.cron, timezone = excluded.timezone, since = excluded.since
WHERE (s.cron, s.timezone) <> (excluded.cron, excluded.timezone)

-- name: last_deferred
SELECT greatest(since, (
    SELECT max(defer_timestamp) FROM procrastinate_periodic_defers
    WHERE task_name = :task AND periodic_id = :id))
FROM files_schedule WHERE task_name = :task AND periodic_id = :id

-- name: last_of_schedule
SELECT defer_timestamp, job_id FROM procrastinate_periodic_defers
WHERE task_name = :task AND periodic_id = :id ORDER BY defer_timestamp DESC LIMIT 1
