-- How a worker gets its next job.

-- Return whether a job has to wait because of its lock: another job with that lock has begun, or comes first
-- among the jobs that may run now.
--
-- A job that is put off comes before no other job until it is due. Each part is read by its own index, with
-- the planner's settings of the calling function.
CREATE OR REPLACE FUNCTION files_is_locked(_id bigint, _lock text, _priority integer)
    RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    _now CONSTANT timestamptz := clock_timestamp();
BEGIN
    RETURN EXISTS (
        SELECT FROM procrastinate_jobs other
        WHERE other.lock = _lock AND other.status = 'doing' AND other.id <> _id)
    OR EXISTS (
        SELECT FROM procrastinate_jobs other
        WHERE other.lock = _lock AND other.status = 'todo' AND other.scheduled_at IS NULL AND (
            other.priority > _priority OR other.priority = _priority AND other.id < _id))
    OR EXISTS (
        SELECT FROM procrastinate_jobs other
        WHERE other.lock = _lock AND other.status = 'todo' AND other.scheduled_at <= _now AND (
            other.priority > _priority OR other.priority = _priority AND other.id < _id));
END;
$$;

-- Return whether a worker may claim a job that has lost its worker twice at the same step: a suspect.
--
-- The suspect may be what kills workers, and the other jobs of the worker would die with it again and again.
-- So a worker runs only one suspect at a time. Until the end of the transaction no other slot of the worker
-- claims one.
CREATE OR REPLACE FUNCTION files_may_claim_suspect(_worker bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    -- the key is SUSPECT_JOBS of advisory_locks.py
    IF NOT pg_try_advisory_xact_lock(7108, _worker::integer) THEN
        RETURN false;
    END IF;
    -- a statement of its own, which sees what the last transaction with the lock has claimed
    RETURN NOT EXISTS (
        SELECT FROM procrastinate_jobs j JOIN files_job f ON f.job_id = j.id
        WHERE j.worker_id = _worker AND j.status = 'doing' AND f.rescues >= 2);
END;
$$;

-- Claim the next job for a worker, and return it as JSON, or NULL if no job waits.
--
-- There are three candidates: the first job that waits, the first one that is due after it was put off, and the
-- first one between two steps. The one with the highest priority wins, then the oldest. Without _with_lock the
-- function ignores jobs that wait and have a lock: only these can violate the unique index of locks, which would
-- undo the caller's transaction.
--
-- PostgreSQL plans the queries once, for any number of jobs: the settings make it read each candidate in the
-- order of its index. Of certain queues it reads the candidate of each: a million jobs in other queues, paused
-- ones for example, cost nothing. (After queue = ... it could read another index, with all queues; the range of
-- one name and its order leave no choice.)
CREATE OR REPLACE FUNCTION files_claim(_queues varchar[], _worker bigint, _with_lock boolean)
    RETURNS text LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    -- now() would be the time at which the caller's step began; a constant, because PostgreSQL searches no
    -- index for the result of a volatile function
    _now CONSTANT timestamptz := clock_timestamp();
    waiting record;
    due record;
    begun record;
    _without_suspects boolean := false;
    _id bigint;
BEGIN
    IF EXISTS (SELECT FROM files_paused_queue) THEN
        _queues := files_open_queues(_queues);
    END IF;
    IF _queues IS NULL THEN
        SELECT j.id AS rank, j.priority INTO waiting FROM procrastinate_jobs j
            WHERE j.status = 'todo' AND j.scheduled_at IS NULL
              AND (j.lock IS NULL OR _with_lock AND NOT files_is_locked(j.id, j.lock, j.priority))
            ORDER BY j.priority DESC, j.id LIMIT 1 FOR UPDATE SKIP LOCKED;
        SELECT j.id AS rank, j.priority INTO due FROM procrastinate_jobs j
            WHERE j.status = 'todo' AND j.scheduled_at <= _now
              AND (j.lock IS NULL OR _with_lock AND NOT files_is_locked(j.id, j.lock, j.priority))
            ORDER BY j.scheduled_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    ELSE
        SELECT first.rank, first.priority INTO waiting FROM unnest(_queues) AS queue CROSS JOIN LATERAL (
            SELECT j.id AS rank, j.priority FROM procrastinate_jobs j
            WHERE j.status = 'todo' AND j.scheduled_at IS NULL AND j.queue_name BETWEEN queue AND queue
              AND (j.lock IS NULL OR _with_lock AND NOT files_is_locked(j.id, j.lock, j.priority))
            ORDER BY j.queue_name, j.priority DESC, j.id LIMIT 1 FOR UPDATE SKIP LOCKED) AS first
            ORDER BY first.priority DESC, first.rank LIMIT 1;
        SELECT first.rank, first.priority INTO due FROM unnest(_queues) AS queue CROSS JOIN LATERAL (
            SELECT j.id AS rank, j.priority, j.scheduled_at FROM procrastinate_jobs j
            WHERE j.status = 'todo' AND j.scheduled_at <= _now AND j.queue_name BETWEEN queue AND queue
              AND (j.lock IS NULL OR _with_lock AND NOT files_is_locked(j.id, j.lock, j.priority))
            ORDER BY j.queue_name, j.scheduled_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS first
            ORDER BY first.scheduled_at LIMIT 1;
    END IF;
    LOOP
        SELECT j.id, f.resume_order AS rank, j.priority, f.rescues INTO begun
            FROM files_job f JOIN procrastinate_jobs j ON j.id = f.job_id
            WHERE f.resume_order IS NOT NULL AND j.status = 'doing' AND j.worker_id IS NULL
              AND (NOT _without_suspects OR f.rescues < 2)
              AND (_queues IS NULL OR j.queue_name = ANY (_queues))
            ORDER BY j.priority DESC, f.resume_order LIMIT 1 FOR UPDATE SKIP LOCKED;
        EXIT WHEN _without_suspects OR begun.id IS NULL OR begun.rescues < 2
            OR files_may_claim_suspect(_worker);
        _without_suspects := true;
    END LOOP;
    SELECT candidate.id INTO _id FROM (VALUES
        (waiting.rank, waiting.rank, waiting.priority),
        (due.rank, due.rank, due.priority),
        (begun.id, begun.rank, begun.priority)) AS candidate (id, rank, priority)
        WHERE candidate.id IS NOT NULL ORDER BY candidate.priority DESC, candidate.rank LIMIT 1;
    IF _id IS NULL THEN
        RETURN NULL;
    END IF;
    UPDATE procrastinate_jobs SET status = 'doing', worker_id = _worker WHERE id = _id;
    IF _id = begun.id THEN
        UPDATE files_job SET resume_order = NULL WHERE job_id = _id;
    END IF;
    -- Procrastinate's trigger sees no change of the status when a step begins again that was lost; such a job has
    -- its own id as rank. (No order by id: without sorts PostgreSQL would read the events of all jobs.)
    IF _id = begun.id AND begun.rank = _id AND (
        SELECT max(id) FILTER (WHERE type = 'deferred_for_retry') > max(id) FILTER (WHERE type = 'started')
        FROM procrastinate_events WHERE job_id = _id
    ) THEN
        INSERT INTO procrastinate_events (job_id, type) VALUES (_id, 'started');
    END IF;
    RETURN (
        SELECT json_build_object(
            'id', j.id, 'task_name', j.task_name, 'args', j.args, 'queue_name', j.queue_name,
            'priority', j.priority, 'lock', j.lock, 'queueing_lock', j.queueing_lock,
            'scheduled_at', j.scheduled_at, 'attempts', j.attempts, 'call', f.call,
            'step', coalesce(f.step, 0), 'retries', coalesce(f.retries, 0),
            'outages', coalesce(f.outages, 0), 'user_id', f.user_id, 'task_id', f.task_id)
        FROM procrastinate_jobs j LEFT JOIN files_job f ON f.job_id = j.id WHERE j.id = _id);
END;
$$;

-- Return whether a job with a lock waits that only a claim with _with_lock would find.
CREATE OR REPLACE FUNCTION files_locked_job_waits(_queues varchar[]) RETURNS boolean LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    _now CONSTANT timestamptz := clock_timestamp();
BEGIN
    IF EXISTS (SELECT FROM files_paused_queue) THEN
        _queues := files_open_queues(_queues);
    END IF;
    RETURN EXISTS (
        SELECT FROM procrastinate_jobs WHERE status = 'todo' AND scheduled_at IS NULL
        AND lock IS NOT NULL AND (_queues IS NULL OR queue_name = ANY (_queues))
        AND NOT files_is_locked(id, lock, priority))
    OR EXISTS (
        SELECT FROM procrastinate_jobs WHERE status = 'todo' AND scheduled_at <= _now
        AND lock IS NOT NULL AND (_queues IS NULL OR queue_name = ANY (_queues))
        AND NOT files_is_locked(id, lock, priority));
END;
$$;
