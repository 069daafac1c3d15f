-- jobs that have been done, in Procrastinate's tables, each with its events
TRUNCATE procrastinate_jobs RESTART IDENTITY CASCADE;
INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, attempts)
SELECT 'default', 'past', jsonb_build_object('number', number), 'succeeded', 1
FROM generate_series(1, :count) AS number;
INSERT INTO procrastinate_events (job_id, type, at)
SELECT id, type::procrastinate_job_event_type, now() - interval '1 day'
FROM procrastinate_jobs, unnest(ARRAY['deferred', 'started', 'succeeded']) AS type
