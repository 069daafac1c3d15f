-- Queues: which are paused.

-- name: pause_queue
INSERT INTO files_paused_queue (queue, user_id) VALUES (:queue, :user_id)
ON CONFLICT (queue) DO NOTHING RETURNING queue

-- name: resume_queue
-- Workers look for jobs at once, as when a job is written.
WITH resumed AS (DELETE FROM files_paused_queue WHERE queue = :queue RETURNING queue),
payload AS (SELECT queue, json_build_object('type', 'job_inserted', 'job_id', 0)::text AS text FROM resumed)
SELECT pg_notify('procrastinate_any_queue_v1', text),
    pg_notify('procrastinate_queue_v1#' || queue, text)
FROM payload

-- name: paused_queues
SELECT queue, since, user_id FROM files_paused_queue ORDER BY queue

-- name: open_claims
-- Transactions of workers that have read which queues are paused, and may not know of the last one.
SELECT coalesce(array_agg(DISTINCT virtualtransaction), ARRAY[]::text[])
FROM pg_locks JOIN pg_stat_activity activity USING (pid)
WHERE relation = CAST('files_paused_queue' AS regclass) AND application_name LIKE 'ckan-files-worker:%'
  AND activity.datname = current_database() AND pid <> pg_backend_pid()
