-- Queues, as operators see them.

-- name: jobs_by_queue
SELECT queue_name, status::text, count(*) FROM procrastinate_jobs GROUP BY 1, 2 ORDER BY 1, 2

-- name: due_jobs_by_queue
-- Also jobs that have begun, and whose worker has released them or is gone.
SELECT queue_name, count(*) FROM procrastinate_jobs
WHERE status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= now())
   OR status = 'doing' AND (worker_id IS NULL OR worker_id <> ALL (:working))
GROUP BY 1

-- name: queue_has_jobs
SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE queue_name = :queue)
