-- Statements of the worker, with plans that PostgreSQL keeps.
--
-- A job belongs to a worker while status = 'doing', worker_id is the worker's and attempts is what it
-- was when the worker claimed it (the fence). Whoever takes a job away adds one to attempts.

-- Whether a job waits for another one with the same lock: that has begun, or is first of those that may run now.
--
-- A job that is put off, by a time or a retry, orders nothing until it is due. Each part is read by its index:
-- the settings are those of the functions that call this one, for many jobs at a time.
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

-- Whether a worker may run a job that has lost its workers at the same step twice: one at a time, or the
-- one that kills them would each time take the same others with it. Until the end of the transaction no
-- other slot of the worker may.
CREATE OR REPLACE FUNCTION files_may_take_suspect(_worker bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(7108, _worker::integer) THEN
        RETURN false;
    END IF;
    -- a statement of its own: it sees what those have claimed who had the lock before
    RETURN NOT EXISTS (
        SELECT FROM procrastinate_jobs j JOIN files_job f ON f.job_id = j.id
        WHERE j.worker_id = _worker AND j.status = 'doing' AND f.rescues >= 2);
END;
$$;

-- Claim the next job for a worker, and return it as JSON; NULL if none waits.
--
-- Three lines are looked at: jobs that wait, jobs that were put off until now, and jobs that have begun
-- and wait for their next turn. The first of the highest priority runs. Without _with_lock jobs that
-- have a lock are left out: only they can clash, which would undo the caller's transaction.
--
-- The plans are made once and must not depend on how many jobs there were then: each line is read in
-- the order of its index.
CREATE OR REPLACE FUNCTION files_claim(_queues varchar[], _worker bigint, _with_lock boolean)
    RETURNS text LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    -- not now(), which is the time at which the caller's step began; and once, as an index is not searched
    -- for what a volatile function tells
    _now CONSTANT timestamptz := clock_timestamp();
    waiting record;
    due record;
    begun record;
    _without_suspects boolean := false;
    _id bigint;
BEGIN
    SELECT j.id AS place, j.priority INTO waiting FROM procrastinate_jobs j
        WHERE j.status = 'todo' AND j.scheduled_at IS NULL
          AND (_queues IS NULL OR j.queue_name = ANY (_queues))
          AND (j.lock IS NULL OR _with_lock AND NOT files_is_locked(j.id, j.lock, j.priority))
        ORDER BY j.priority DESC, j.id LIMIT 1 FOR UPDATE SKIP LOCKED;
    SELECT j.id AS place, j.priority INTO due FROM procrastinate_jobs j
        WHERE j.status = 'todo' AND j.scheduled_at <= _now
          AND (_queues IS NULL OR j.queue_name = ANY (_queues))
          AND (j.lock IS NULL OR _with_lock AND NOT files_is_locked(j.id, j.lock, j.priority))
        ORDER BY j.scheduled_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    LOOP
        SELECT j.id, f.turn AS place, j.priority, f.rescues INTO begun
            FROM files_job f JOIN procrastinate_jobs j ON j.id = f.job_id
            WHERE f.turn IS NOT NULL AND j.status = 'doing' AND j.worker_id IS NULL
              AND (NOT _without_suspects OR f.rescues < 2)
              AND (_queues IS NULL OR j.queue_name = ANY (_queues))
            ORDER BY j.priority DESC, f.turn LIMIT 1 FOR UPDATE SKIP LOCKED;
        EXIT WHEN _without_suspects OR begun.id IS NULL OR begun.rescues < 2
            OR files_may_take_suspect(_worker);
        _without_suspects := true;
    END LOOP;
    SELECT line.id INTO _id FROM (VALUES
        (waiting.place, waiting.place, waiting.priority),
        (due.place, due.place, due.priority),
        (begun.id, begun.place, begun.priority)) AS line (id, place, priority)
        WHERE line.id IS NOT NULL ORDER BY line.priority DESC, line.place LIMIT 1;
    IF _id IS NULL THEN
        RETURN NULL;
    END IF;
    UPDATE procrastinate_jobs SET status = 'doing', worker_id = _worker WHERE id = _id;
    IF _id = begun.id THEN
        UPDATE files_job SET turn = NULL WHERE job_id = _id;
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

-- The beginning of a text that is long.
CREATE OR REPLACE FUNCTION files_beginning(_text text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN length(_text) > 60 THEN left(_text, 60) || '...' ELSE _text END
$$;

-- The arguments of a job on one line, as lists show them: the first of them, each as far as it is short.
CREATE OR REPLACE FUNCTION files_summary(_args jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(
        CASE WHEN place > 10 THEN '...' ELSE files_beginning(key) || '=' || files_beginning(value::text) END,
        ', ' ORDER BY place)
    FROM jsonb_each(_args) WITH ORDINALITY AS argument (key, value, place) WHERE place <= 11
$$;

-- Whether a job waits that files_claim would find with _with_lock.
CREATE OR REPLACE FUNCTION files_others_wait(_queues varchar[]) RETURNS boolean LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    _now CONSTANT timestamptz := clock_timestamp();
BEGIN
    RETURN EXISTS (
        SELECT FROM procrastinate_jobs WHERE status = 'todo' AND scheduled_at IS NULL
        AND lock IS NOT NULL AND NOT files_is_locked(id, lock, priority)
        AND (_queues IS NULL OR queue_name = ANY (_queues)))
    OR EXISTS (
        SELECT FROM procrastinate_jobs WHERE status = 'todo' AND scheduled_at <= _now
        AND lock IS NOT NULL AND NOT files_is_locked(id, lock, priority)
        AND (_queues IS NULL OR queue_name = ANY (_queues)));
END;
$$;

-- The end of a step that went well, within its transaction.
--
-- _call is where the job goes on, NULL if it is finished. With _claim the worker takes the next job that
-- waits, whose description is _next; a job that goes on then gives way. Without it such a job is
-- handed back. _outcome is 'lost' if the job is not the worker's any more, else 'finished', 'aborted',
-- 'stays' (the worker goes on with it) or 'gave way'. _transaction is the id of the transaction.
CREATE OR REPLACE FUNCTION files_end_step(
    _job bigint, _worker bigint, _attempts integer, _call jsonb, _percent real, _text text,
    _queues varchar[], _claim boolean,
    OUT _outcome text, OUT _next text, OUT _transaction bigint)
    LANGUAGE plpgsql AS $$
BEGIN
    _transaction := txid_current();
    IF _call IS NULL THEN
        UPDATE procrastinate_jobs SET status = 'succeeded', worker_id = NULL,
            attempts = attempts + 1, abort_requested = false
            WHERE id = _job AND status = 'doing' AND worker_id = _worker AND attempts = _attempts;
        _outcome := CASE WHEN FOUND THEN 'finished' ELSE 'lost' END;
    ELSE
        SELECT CASE WHEN abort_requested THEN 'aborted' ELSE 'stays' END INTO _outcome
            FROM procrastinate_jobs
            WHERE id = _job AND status = 'doing' AND worker_id = _worker AND attempts = _attempts
            FOR UPDATE;
    END IF;
    _outcome := coalesce(_outcome, 'lost');
    IF _outcome = 'lost' THEN
        RETURN;
    END IF;
    IF _outcome = 'finished' AND _percent IS NULL AND _text IS NULL THEN
        UPDATE files_job SET step = step + 1, error = NULL, traceback = NULL,
            percent = CASE WHEN percent IS NOT NULL THEN 100 END WHERE job_id = _job;
    ELSE
        PERFORM files_note_step(_job, _call, _percent, _text);
    END IF;
    IF _outcome = 'aborted' THEN
        UPDATE procrastinate_jobs SET status = 'aborted', worker_id = NULL,
            attempts = attempts + 1, abort_requested = false WHERE id = _job;
    END IF;
    IF _claim THEN
        _next := files_claim(_queues, _worker, false);
    END IF;
    IF _outcome = 'stays' AND (NOT _claim OR _next IS NOT NULL OR files_others_wait(_queues)) THEN
        _outcome := 'gave way';
        UPDATE procrastinate_jobs SET worker_id = NULL WHERE id = _job;
        UPDATE files_job SET turn = nextval('procrastinate_jobs_id_seq') WHERE job_id = _job;
    END IF;
END;
$$;

CREATE OR REPLACE FUNCTION files_note_step(_job bigint, _call jsonb, _percent real, _text text)
    RETURNS void LANGUAGE sql AS $$
    INSERT INTO files_job AS f (job_id, call, step, percent, text) VALUES (_job, _call, 1, _percent, _text)
        ON CONFLICT (job_id) DO UPDATE SET call = coalesce(_call, f.call), step = f.step + 1,
        retries = 0, outages = 0, rescues = 0, percent = coalesce(_percent, f.percent),
        text = coalesce(_text, f.text), error = NULL, traceback = NULL
$$;

-- End a job badly, or put it off to be tried again at _retry_at; false if it is not the worker's any more.
--
-- With _outage the infrastructure is to blame: that is counted apart, and is no try of the task. The worker waits
-- for no other transaction, as it has other jobs to look after: an error if one has locked the row or has just
-- asked for a job with the same queueing lock.
CREATE OR REPLACE FUNCTION files_fail(
    _job bigint, _worker bigint, _attempts integer, _status procrastinate_job_status,
    _error text, _traceback text, _percent real, _text text, _retry_at timestamptz, _outage boolean,
    _call jsonb, _queue varchar, _priority integer, _lock varchar)
    RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
DECLARE
    _aborted boolean;
BEGIN
    SELECT abort_requested INTO _aborted FROM procrastinate_jobs
        WHERE id = _job AND status = 'doing' AND worker_id = _worker AND attempts = _attempts
        FOR UPDATE NOWAIT;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO files_job AS f (job_id, error, traceback, percent, text, retries, outages, call)
        VALUES (_job, _error, _traceback, _percent, _text,
                (_retry_at IS NOT NULL AND NOT _outage)::integer, _outage::integer, _call)
        ON CONFLICT (job_id) DO UPDATE SET error = _error, traceback = _traceback,
            percent = coalesce(_percent, f.percent), text = coalesce(_text, f.text),
            retries = f.retries + excluded.retries,
            outages = CASE WHEN _outage THEN f.outages + 1 ELSE 0 END, call = coalesce(_call, f.call);
    IF _retry_at IS NULL OR _aborted THEN
        UPDATE procrastinate_jobs SET worker_id = NULL, attempts = attempts + 1,
            abort_requested = false, status = CASE WHEN _aborted AND _retry_at IS NOT NULL THEN 'aborted' ELSE _status END
            WHERE id = _job;
    ELSE
        UPDATE procrastinate_jobs SET attempts = attempts + 1, queue_name = coalesce(_queue, queue_name),
            priority = coalesce(_priority, priority) WHERE id = _job;
        PERFORM files_let_wait(_job, _retry_at, _lock);
    END IF;
    RETURN true;
END;
$$;

-- Let a job wait that has begun. It keeps its queueing lock, unless another job waits with the same one by now.
CREATE OR REPLACE FUNCTION files_let_wait(_job bigint, _at timestamptz, _lock varchar)
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE procrastinate_jobs SET status = 'todo', worker_id = NULL, abort_requested = false,
        scheduled_at = _at, lock = coalesce(_lock, lock) WHERE id = _job;
EXCEPTION WHEN unique_violation THEN
    UPDATE procrastinate_jobs SET status = 'todo', worker_id = NULL, abort_requested = false,
        scheduled_at = _at, lock = coalesce(_lock, lock), queueing_lock = NULL WHERE id = _job;
END;
$$;

-- Take jobs from a worker, so that others go on with them: all, or one of them; returns how many.
--
-- Those that are locked by others stay for the next time. One that was to end does not begin its step
-- again: it is aborted. A job whose workers were lost _most times at the same step fails: it may be what kills them. NULL
-- counts nothing.
CREATE OR REPLACE FUNCTION files_take_away(_worker bigint, _job bigint, _attempts integer, _most integer)
    RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    _jobs bigint[];
BEGIN
    WITH free AS (
        SELECT id, abort_requested FROM procrastinate_jobs
        WHERE status = 'doing' AND worker_id = _worker
          AND (_job IS NULL OR id = _job AND attempts = _attempts)
        FOR UPDATE SKIP LOCKED
    ), aborted AS (
        UPDATE procrastinate_jobs SET worker_id = NULL, attempts = attempts + 1,
            status = 'aborted', abort_requested = false
        WHERE id IN (SELECT id FROM free WHERE abort_requested) RETURNING id
    ), taken AS (
        UPDATE procrastinate_jobs SET worker_id = NULL, attempts = attempts + 1
        WHERE id IN (SELECT id FROM free WHERE NOT abort_requested) RETURNING id
    ), told AS (
        INSERT INTO procrastinate_events (job_id, type) SELECT id, 'deferred_for_retry' FROM taken
    ), noted AS (
        INSERT INTO files_job AS f (job_id, rescues, turn)
        SELECT id, CASE WHEN _most IS NULL THEN 0 ELSE 1 END, id FROM taken
        ON CONFLICT (job_id) DO UPDATE SET turn = excluded.turn, rescues = f.rescues + excluded.rescues
        RETURNING job_id
    )
    SELECT array_agg(job_id) INTO _jobs FROM noted;
    WITH killers AS (
        UPDATE files_job SET turn = NULL, traceback = NULL,
            error = 'The worker was lost ' || rescues || ' times while it ran this step'
        WHERE job_id = ANY (_jobs) AND rescues >= _most RETURNING job_id
    )
    UPDATE procrastinate_jobs SET status = 'failed', abort_requested = false
        WHERE id IN (SELECT job_id FROM killers);
    RETURN coalesce(cardinality(_jobs), 0);
END;
$$;

-- Let a job that has begun wait for its next turn, in the hands of no worker.
CREATE OR REPLACE FUNCTION files_let_go_on(_job bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE procrastinate_jobs SET worker_id = NULL WHERE id = _job;
    INSERT INTO files_job (job_id, turn) VALUES (_job, _job)
        ON CONFLICT (job_id) DO UPDATE SET turn = excluded.turn;
$$;

-- Hand back all jobs of a worker that ends, but for those that others have locked.
--
-- A job at its first step is what it was before the worker claimed it, and one at a later step waits for
-- its next turn; so does one whose queueing lock a transaction that is open has asked for: a worker that is
-- to end does not wait for it. The worker claims no more: attempts need not tell its claims from those of others.
CREATE OR REPLACE FUNCTION files_hand_back(_worker bigint) RETURNS void LANGUAGE plpgsql
    SET lock_timeout = '100ms' AS $$
DECLARE
    job record;
BEGIN
    FOR job IN
        SELECT j.id, j.abort_requested, j.scheduled_at,
            coalesce(f.step, 0) + coalesce(f.rescues, 0) > 0 AS has_begun
        FROM procrastinate_jobs j LEFT JOIN files_job f ON f.job_id = j.id
        WHERE j.status = 'doing' AND j.worker_id = _worker FOR UPDATE OF j SKIP LOCKED
    LOOP
        IF job.abort_requested THEN
            UPDATE procrastinate_jobs SET worker_id = NULL, attempts = attempts + 1,
                status = 'aborted', abort_requested = false WHERE id = job.id;
        ELSIF job.has_begun THEN
            PERFORM files_let_go_on(job.id);
        ELSE
            BEGIN
                PERFORM files_let_wait(job.id, job.scheduled_at, NULL);
                DELETE FROM procrastinate_events WHERE job_id = job.id AND id >= (
                    SELECT max(id) FROM procrastinate_events WHERE job_id = job.id AND type = 'started');
                UPDATE files_job SET percent = NULL, text = NULL WHERE job_id = job.id;
            EXCEPTION WHEN lock_not_available THEN
                PERFORM files_let_go_on(job.id);
            END;
        END IF;
    END LOOP;
END;
$$;

-- Jobs that have no worker any more because its row was deleted.
CREATE OR REPLACE FUNCTION files_adopt() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    _count integer;
BEGIN
    WITH orphans AS (
        SELECT j.id FROM procrastinate_jobs j LEFT JOIN files_job f ON f.job_id = j.id
        WHERE j.status = 'doing' AND j.worker_id IS NULL AND f.turn IS NULL
        FOR UPDATE OF j SKIP LOCKED
    ), taken AS (
        UPDATE procrastinate_jobs SET attempts = attempts + 1
        WHERE id IN (SELECT id FROM orphans) RETURNING id
    )
    INSERT INTO files_job (job_id, turn) SELECT id, id FROM taken
        ON CONFLICT (job_id) DO UPDATE SET turn = excluded.turn;
    GET DIAGNOSTICS _count = ROW_COUNT;
    RETURN _count;
END;
$$;
