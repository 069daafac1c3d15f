-- The tables of background tasks, beside Procrastinate's.
--
-- The state of a job is in procrastinate_jobs and in files_job:
--
--   waiting        status = 'todo'. It runs as soon as a worker is free, and scheduled_at is NULL or past.
--   claimed        status = 'doing', worker_id is set. The worker owns the job as long as attempts is what it was at
--                  the claim (the fence): each statement that takes a job from its worker adds one to attempts.
--   between steps  status = 'doing', worker_id is NULL, resume_order is set. The job keeps its lock.
--   orphaned       status = 'doing', worker_id and resume_order are NULL: the row of the worker was deleted.
--   ended          status = 'succeeded', 'failed', 'cancelled' or 'aborted'.
--
-- What changes the state: functions are in functions/, queries in queries/.
--
--   waiting, between steps      -> claimed        files_claim: not of a queue that is paused
--   claimed                     -> succeeded      files_end_step: the last step has ended
--   claimed                     -> claimed        files_end_step: the same worker runs the next step ('stays')
--   claimed                     -> between steps  files_end_step: other jobs run first, or its queue is paused ('yielded')
--   claimed                     -> aborted        files_end_step: a user has cancelled the job
--   claimed                     -> waiting        files_fail: the step is tried again later
--   claimed                     -> failed         files_fail: the step is not tried again
--   claimed                     -> aborted        files_fail: likewise, after a request to abort
--   claimed                     -> cancelled      files_fail: the ttl of a job of toolkit.enqueue_job was over
--   claimed                     -> between steps  files_release_jobs: the step is lost, with its worker or connection
--   claimed                     -> failed         files_release_jobs: the same step was lost too often
--   claimed                     -> aborted        files_release_jobs, files_unclaim_jobs: after a request to abort
--   claimed                     -> waiting        files_unclaim_jobs: the worker stops, at the first step
--   claimed                     -> between steps  files_unclaim_jobs: the worker stops, at a later step
--   claimed                     -> orphaned       the foreign key of worker_id
--   orphaned                    -> between steps  files_requeue_orphans
--   waiting                     -> cancelled      cancel_jobs, files_rq_cancel, files_rq_empty
--   between steps, orphaned     -> aborted        cancel_jobs, files_rq_cancel
--   claimed                     -> claimed        cancel_jobs: it sets abort_requested
--   failed, cancelled, aborted  -> waiting        retry_jobs
--   ended                       -> (deleted)      delete_jobs

-- What Procrastinate's tables do not keep of a job. A job without these data has no row.
CREATE TABLE IF NOT EXISTS files_job (
    job_id bigint PRIMARY KEY REFERENCES procrastinate_jobs ON DELETE CASCADE,
    -- the id that the caller of send_task has given
    task_id text UNIQUE,
    -- the user who deferred the job
    user_id text,
    -- what the next step runs, {"task": ..., "args": ...}; NULL at the first step
    call jsonb,
    -- finished steps
    step integer NOT NULL DEFAULT 0,
    -- how often the present step was tried again, and how often it was lost with its worker
    retries integer NOT NULL DEFAULT 0,
    rescues integer NOT NULL DEFAULT 0,
    percent real,
    text text,
    error text,
    traceback text,
    -- the order of jobs between two steps; NULL for all others
    resume_order bigint
);
-- earlier versions of this file called the column turn
DO $$
BEGIN
    ALTER TABLE files_job RENAME COLUMN turn TO resume_order;
EXCEPTION WHEN undefined_column THEN
    NULL;
END;
$$;
ALTER INDEX IF EXISTS files_job_turn_idx RENAME TO files_job_resume_order_idx;
-- how often the present step was undone because the infrastructure failed
ALTER TABLE files_job ADD COLUMN IF NOT EXISTS outages integer NOT NULL DEFAULT 0;
-- whether the request to abort is to interrupt the running step; abort_requested is true, too
ALTER TABLE files_job ADD COLUMN IF NOT EXISTS interrupt boolean NOT NULL DEFAULT false;
-- what people read instead of the task's name and the arguments
ALTER TABLE files_job ADD COLUMN IF NOT EXISTS title text;
-- the parts of the chain that a step has returned, see files_parts_of_calls; NULL if the job has begun with its chain
ALTER TABLE files_job ADD COLUMN IF NOT EXISTS parts jsonb;

CREATE INDEX IF NOT EXISTS files_job_user_idx ON files_job (user_id, job_id) WHERE user_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS files_job_resume_order_idx ON files_job (resume_order)
    WHERE resume_order IS NOT NULL;

-- Jobs that may run now, and jobs that were put off: thousands of the latter do not slow down claims.
CREATE INDEX IF NOT EXISTS files_jobs_waiting_idx ON procrastinate_jobs (priority DESC, id)
    WHERE status = 'todo' AND scheduled_at IS NULL;
CREATE INDEX IF NOT EXISTS files_jobs_due_idx ON procrastinate_jobs (scheduled_at)
    WHERE status = 'todo' AND scheduled_at IS NOT NULL;
DROP INDEX IF EXISTS files_jobs_lock_idx;
CREATE INDEX IF NOT EXISTS files_jobs_waiting_lock_idx ON procrastinate_jobs (lock, scheduled_at)
    WHERE lock IS NOT NULL AND status = 'todo';
DROP INDEX IF EXISTS files_jobs_ended_badly_idx;
-- The pages of jobs: by queue and state, and by task, the newest first.
CREATE INDEX IF NOT EXISTS files_jobs_state_idx ON procrastinate_jobs (queue_name, status, id);
CREATE INDEX IF NOT EXISTS files_jobs_task_idx ON procrastinate_jobs (task_name, id);
-- How many jobs have ended lately.
CREATE INDEX IF NOT EXISTS files_events_ended_idx ON procrastinate_events (at, type)
    WHERE type IN ('succeeded', 'failed');
-- The time of an event, not of the beginning of its transaction: a step would end when it begins.
ALTER TABLE procrastinate_events ALTER COLUMN at SET DEFAULT clock_timestamp();
-- For the foreign key: without the index, the deletion of a worker reads all jobs.
CREATE INDEX IF NOT EXISTS files_jobs_worker_idx ON procrastinate_jobs (worker_id)
    WHERE worker_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS files_jobs_unowned_idx ON procrastinate_jobs (id)
    WHERE status = 'doing' AND worker_id IS NULL;

-- Likewise of one queue: of the queues of a worker that has its own, or of those that are not paused.
CREATE INDEX IF NOT EXISTS files_jobs_waiting_queue_idx ON procrastinate_jobs (queue_name, priority DESC, id)
    WHERE status = 'todo' AND scheduled_at IS NULL;
CREATE INDEX IF NOT EXISTS files_jobs_due_queue_idx ON procrastinate_jobs (queue_name, scheduled_at)
    WHERE status = 'todo' AND scheduled_at IS NOT NULL;

-- What CKAN's toolkit.enqueue_job has written, see ckan_jobs: procrastinate_jobs has no arguments of these jobs.
--
-- An id belongs to the newest job that was asked for with it, the current one. The others are history.
CREATE TABLE IF NOT EXISTS files_rq_job (
    job_id bigint PRIMARY KEY REFERENCES procrastinate_jobs ON DELETE CASCADE,
    rq_id text NOT NULL,
    current boolean NOT NULL DEFAULT true,
    -- RQ's name of the queue, with a prefix and of any length
    origin text NOT NULL,
    -- all that RQ keeps of a job in Redis, and its signature: the hash has pickles and names of functions
    hash bytea NOT NULL,
    signature bytea NOT NULL,
    -- what the function has returned, after its own signature; result_until is NULL to keep it for ever
    result bytea,
    result_until timestamptz
);
CREATE UNIQUE INDEX IF NOT EXISTS files_rq_job_current_idx ON files_rq_job (rq_id) WHERE current;
CREATE INDEX IF NOT EXISTS files_rq_job_former_idx ON files_rq_job (rq_id, job_id) WHERE NOT current;
-- Also of former jobs: with old statistics PostgreSQL would take an index of all current ones to find one of them.
CREATE INDEX IF NOT EXISTS files_rq_job_origins_idx ON files_rq_job (origin);
DROP INDEX IF EXISTS files_rq_job_origin_idx;
CREATE INDEX IF NOT EXISTS files_rq_job_result_idx ON files_rq_job (result_until) WHERE result_until IS NOT NULL;

-- Jobs that wait for the end of others: their status is 'todo', and scheduled_at is files_never().
--
-- The others are known by their ids, as for RQ: a job that takes the place of another one has its dependents.
CREATE TABLE IF NOT EXISTS files_rq_dependency (
    job_id bigint REFERENCES procrastinate_jobs ON DELETE CASCADE,
    on_rq_id text,
    -- whether any end of the other job will do
    allow_failure boolean NOT NULL,
    PRIMARY KEY (job_id, on_rq_id)
);

-- Jobs on their way back to Redis, see ckan_jobs/to_redis.py: here they are cancelled, and stay until they are there.
CREATE TABLE IF NOT EXISTS files_rq_outbox (
    job_id bigint PRIMARY KEY REFERENCES procrastinate_jobs ON DELETE CASCADE
);

-- Queues whose jobs no worker begins, and of whose jobs none takes another step.
--
-- Each claim reads this table, and so holds a lock on it until its transaction ends: see open_claims.
CREATE TABLE IF NOT EXISTS files_paused_queue (
    queue text PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now(),
    -- the user who has paused it; NULL for a command
    user_id text
);

-- What Procrastinate's table does not keep of a worker, for operators.
CREATE TABLE IF NOT EXISTS files_worker (
    worker_id bigint PRIMARY KEY REFERENCES procrastinate_workers ON DELETE CASCADE,
    host text NOT NULL,
    pid integer NOT NULL,
    -- empty for all
    queues text[] NOT NULL,
    -- steps that it runs at a time
    concurrency integer NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);

-- The schedules that workers know.
CREATE TABLE IF NOT EXISTS files_schedule (
    task_name text NOT NULL,
    periodic_id text NOT NULL,
    cron text NOT NULL,
    timezone text NOT NULL,
    -- when a worker first knew it so, in seconds since 1970: no job is deferred for a time before that
    since bigint NOT NULL,
    PRIMARY KEY (task_name, periodic_id)
);

CREATE TABLE IF NOT EXISTS files_version (
    -- the last migration of Procrastinate that was applied
    procrastinate text NOT NULL
);
-- a checksum of this file and of functions/
ALTER TABLE files_version ADD COLUMN IF NOT EXISTS own text;
