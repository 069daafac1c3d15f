-- Workers and their database sessions. The advisory lock :key shows that a worker lives.

-- name: register_worker
WITH registered AS (SELECT worker_id FROM procrastinate_register_worker_v1())
INSERT INTO files_worker (worker_id, host, pid, queues, concurrency)
SELECT worker_id, :host, :pid, :queues, :concurrency FROM registered RETURNING worker_id

-- name: register_test_worker
SELECT worker_id FROM procrastinate_register_worker_v1()

-- name: unregister_worker
SELECT procrastinate_unregister_worker_v1(:worker)

-- name: heartbeat
UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = :worker

-- name: look_after_rq_jobs
-- For the heartbeat: jobs that wait for others, and results whose time is over. Where there are none it costs nothing.
SELECT files_rq_free_dependents() AS freed, files_rq_forget_results() AS forgotten

-- name: lock_worker
SELECT pg_try_advisory_lock(:key, :worker)

-- name: end_lock_holder
SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND classid = :key AND objid = :worker AND objsubid = 2
  AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND application_name = :name AND pid <> pg_backend_pid()

-- name: silent_workers
-- Workers that have jobs, but no lock or no heartbeat, the tasks of their steps, and whether one is of a queue of the
-- caller. OFFSET 0 keeps the planner from taking the lock of workers that have no job; callers share it.
SELECT id, free, extract(epoch FROM now() - last_heartbeat)::float, ARRAY(
    SELECT coalesce(f.call ->> 'task', j.task_name)
    FROM procrastinate_jobs j LEFT JOIN files_job f ON f.job_id = j.id
    WHERE j.worker_id = worker.id AND j.status = 'doing'), CAST(:queues AS varchar[]) IS NULL OR EXISTS (
    SELECT FROM procrastinate_jobs
    WHERE worker_id = worker.id AND status = 'doing' AND queue_name = ANY (:queues))
FROM (
    SELECT w.id, last_heartbeat, pg_try_advisory_xact_lock_shared(:key, w.id::integer) AS free
    FROM procrastinate_workers w
    WHERE w.id <> :worker AND EXISTS (
        SELECT FROM procrastinate_jobs
        WHERE worker_id = w.id AND worker_id IS NOT NULL AND status = 'doing')
    OFFSET 0) AS worker
WHERE free OR last_heartbeat < now() - make_interval(secs => :silence)

-- name: delete_dead_workers
DELETE FROM procrastinate_workers w
WHERE last_heartbeat < now() - interval '1 hour'
  AND pg_try_advisory_xact_lock(:key, w.id::integer)
  AND NOT EXISTS (SELECT FROM procrastinate_jobs WHERE worker_id = w.id)

-- name: end_all_sessions
-- Also those that functions have opened by themselves, in any database, as far as our role may end them.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE (application_name = :name AND datname = current_database() OR application_name = :tasks_name)
  AND pid <> pg_backend_pid() AND pg_has_role(usesysid, 'MEMBER')

-- name: end_sessions
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE pid = ANY(:pids) AND application_name = :name
  AND datname = current_database() AND pid <> pg_backend_pid()

-- name: cancel_statements
SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
WHERE pid = ANY(:pids) AND application_name = :name
  AND datname = current_database() AND pid <> pg_backend_pid()

-- name: workers
SELECT w.id, host, pid, queues, concurrency, since,
    extract(epoch FROM now() - last_heartbeat)::float AS silence,
    EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = :key
            AND objid = w.id AND database = (
                SELECT oid FROM pg_database WHERE datname = current_database())) AS connected,
    coalesce((
        SELECT json_agg(json_build_object('id', j.id, 'task', j.task_name, 'title', f.title,
            'parts', files_parts(j.task_name, j.args, f.parts, f.call, false)) ORDER BY j.id)
        FROM procrastinate_jobs j LEFT JOIN files_job f ON f.job_id = j.id
        WHERE j.worker_id = w.id AND j.status = 'doing'), '[]') AS running
FROM procrastinate_workers w LEFT JOIN files_worker ON worker_id = w.id ORDER BY w.id
