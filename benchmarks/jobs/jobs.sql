-- jobs of two users in several states, queues and tasks; a tenth waits in a queue that is paused
ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER;
INSERT INTO procrastinate_jobs (task_name, queue_name, status, args, attempts)
SELECT 'example.tasks.task_' || n % 20,
    CASE WHEN n % 10 = 3 THEN 'paused' ELSE (ARRAY['default', 'mails', 'reports'])[1 + n % 3] END,
    (CASE WHEN n % 10 = 3 OR n % 50 IN (4, 5, 6) THEN 'todo' WHEN n % 100 = 1 THEN 'failed'
          WHEN n % 1000 = 2 THEN 'cancelled' ELSE 'succeeded' END)::procrastinate_job_status,
    jsonb_build_object('id', md5(n::text), 'number', n), 1
FROM generate_series(1, :count) AS n;
INSERT INTO files_job (job_id, user_id, percent, text, error)
SELECT id, CASE WHEN id % 10 = 0 THEN 'other' ELSE :user_id END, 100, 'All is done',
    CASE WHEN status = 'failed' THEN 'ValueError: no such thing' END
FROM procrastinate_jobs;
INSERT INTO procrastinate_events (job_id, type, at)
SELECT id, type::procrastinate_job_event_type, now() - make_interval(secs => (:count - id) / 10.0)
FROM procrastinate_jobs CROSS JOIN unnest(ARRAY['deferred', 'started', 'succeeded']) AS type;
ALTER TABLE procrastinate_jobs ENABLE TRIGGER USER
