-- What Procrastinate's tables do not keep of a job. There is a row where there is something to say.
CREATE TABLE IF NOT EXISTS files_job (
    job_id bigint PRIMARY KEY REFERENCES procrastinate_jobs ON DELETE CASCADE,
    -- given by the caller of send_task
    task_id text UNIQUE,
    -- who asked for the job
    user_id text,
    -- where the job goes on, {"task": ..., "args": ...}; NULL at its first step
    call jsonb,
    -- finished steps
    step integer NOT NULL DEFAULT 0,
    -- how often the present step was tried again, and how often a worker died at it
    retries integer NOT NULL DEFAULT 0,
    rescues integer NOT NULL DEFAULT 0,
    percent real,
    text text,
    error text,
    traceback text,
    -- the place in the line of a job that has begun and has no worker: status is 'doing', worker_id NULL
    turn bigint
);
-- how often the infrastructure has failed the present step
ALTER TABLE files_job ADD COLUMN IF NOT EXISTS outages integer NOT NULL DEFAULT 0;
-- the present step is to be interrupted: abort_requested is true, too
ALTER TABLE files_job ADD COLUMN IF NOT EXISTS interrupt boolean NOT NULL DEFAULT false;

CREATE INDEX IF NOT EXISTS files_job_user_idx ON files_job (user_id, job_id) WHERE user_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS files_job_turn_idx ON files_job (turn) WHERE turn IS NOT NULL;

-- Jobs that may run now, and those that were put off: thousands of the latter slow nothing down.
CREATE INDEX IF NOT EXISTS files_jobs_waiting_idx ON procrastinate_jobs (priority DESC, id)
    WHERE status = 'todo' AND scheduled_at IS NULL;
CREATE INDEX IF NOT EXISTS files_jobs_due_idx ON procrastinate_jobs (scheduled_at)
    WHERE status = 'todo' AND scheduled_at IS NOT NULL;
DROP INDEX IF EXISTS files_jobs_lock_idx;
CREATE INDEX IF NOT EXISTS files_jobs_waiting_lock_idx ON procrastinate_jobs (lock, scheduled_at)
    WHERE lock IS NOT NULL AND status = 'todo';
-- What operators look for, far down in the history of what went well.
CREATE INDEX IF NOT EXISTS files_jobs_ended_badly_idx ON procrastinate_jobs (id)
    WHERE status IN ('failed', 'cancelled', 'aborted');
-- Without it the end of a worker, whose row is deleted, looks through all jobs that ever were.
CREATE INDEX IF NOT EXISTS files_jobs_worker_idx ON procrastinate_jobs (worker_id)
    WHERE worker_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS files_jobs_unowned_idx ON procrastinate_jobs (id)
    WHERE status = 'doing' AND worker_id IS NULL;

-- What Procrastinate's table does not keep of a worker, for those who look after it.
CREATE TABLE IF NOT EXISTS files_worker (
    worker_id bigint PRIMARY KEY REFERENCES procrastinate_workers ON DELETE CASCADE,
    host text NOT NULL,
    pid integer NOT NULL,
    -- empty for all
    queues text[] NOT NULL,
    -- how many steps it runs at a time
    concurrency integer NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);

-- Schedules as workers have seen them.
CREATE TABLE IF NOT EXISTS files_schedule (
    task_name text NOT NULL,
    periodic_id text NOT NULL,
    cron text NOT NULL,
    timezone text NOT NULL,
    -- when it was first seen so, in seconds since 1970: no time before that is deferred
    since bigint NOT NULL,
    PRIMARY KEY (task_name, periodic_id)
);

CREATE TABLE IF NOT EXISTS files_version (
    -- the last of Procrastinate's migrations that was applied
    procrastinate text NOT NULL
);
-- a checksum of this file and of functions.sql
ALTER TABLE files_version ADD COLUMN IF NOT EXISTS own text;
