-- How a step ends, well or badly. Its worker calls these functions.

-- Write the end of a successful step, within the transaction of the step.
--
-- _call is the next step of the job, NULL if the job is finished. With _claim the worker claims another job,
-- described by _next, and a job that is not finished yields to that; without _claim it yields in any case.
-- _outcome is one of:
--
--   finished   the job has succeeded
--   stays      the worker runs the next step of the same job
--   yielded    the job waits for any worker to run its next step, as it does when its queue is paused
--   aborted    a user has cancelled the job
--   lost       the job does not belong to the worker any more: the caller must roll back
--
-- _transaction is the id of the transaction, by which the caller can ask later whether it has committed.
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
        PERFORM files_record_step(_job, _call, _percent, _text);
    END IF;
    IF _outcome = 'aborted' THEN
        UPDATE procrastinate_jobs SET status = 'aborted', worker_id = NULL,
            attempts = attempts + 1, abort_requested = false WHERE id = _job;
    END IF;
    IF _claim THEN
        _next := files_claim(_queues, _worker, false);
    END IF;
    IF _outcome = 'stays' AND (
        NOT _claim OR _next IS NOT NULL OR files_locked_job_waits(_queues) OR files_is_paused(_job)
    ) THEN
        _outcome := 'yielded';
        UPDATE procrastinate_jobs SET worker_id = NULL WHERE id = _job;
        UPDATE files_job SET resume_order = nextval('procrastinate_jobs_id_seq') WHERE job_id = _job;
    END IF;
END;
$$;

-- Write the end of a successful step that had no transaction, and return the outcome. The worker claims apart.
--
-- A second call after a lost answer changes nothing: a job that goes on has yielded. The function waits for no
-- other transaction, as files_fail.
CREATE OR REPLACE FUNCTION files_end_open_step(
    _job bigint, _worker bigint, _attempts integer, _call jsonb, _percent real, _text text)
    RETURNS text LANGUAGE sql SET lock_timeout = '100ms' AS $$
    SELECT _outcome FROM files_end_step(_job, _worker, _attempts, _call, _percent, _text, NULL, false)
$$;

-- Record in files_job that a step has succeeded, what the next step is, and the progress.
CREATE OR REPLACE FUNCTION files_record_step(_job bigint, _call jsonb, _percent real, _text text)
    RETURNS void LANGUAGE sql AS $$
    INSERT INTO files_job AS f (job_id, call, parts, step, percent, text)
        VALUES (_job, _call, files_returned_parts(_call), 1, _percent, _text)
        ON CONFLICT (job_id) DO UPDATE SET call = coalesce(_call, f.call), step = f.step + 1,
        parts = coalesce(excluded.parts, f.parts),
        retries = 0, outages = 0, rescues = 0, percent = coalesce(_percent, f.percent),
        text = coalesce(_text, f.text), error = NULL, traceback = NULL
$$;

-- Write the end of a step that failed; return false if the job does not belong to the worker any more.
--
-- The job ends with _status, or waits until _retry_at. With _outage the infrastructure has failed, not the task:
-- the step is counted in outages instead of retries.
--
-- The calling thread has other jobs to look after, so the function waits for no other transaction: it raises an
-- error if one has locked the job, or has just written a job with the same queueing lock.
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
            abort_requested = false,
            status = CASE WHEN _aborted AND _retry_at IS NOT NULL THEN 'aborted' ELSE _status END
            WHERE id = _job;
        -- Procrastinate knows this only of jobs that wait
        INSERT INTO procrastinate_events (job_id, type) SELECT _job, 'cancelled' WHERE _status = 'cancelled';
    ELSE
        UPDATE procrastinate_jobs SET attempts = attempts + 1, queue_name = coalesce(_queue, queue_name),
            priority = coalesce(_priority, priority) WHERE id = _job;
        PERFORM files_return_to_todo(_job, _retry_at, _lock);
    END IF;
    RETURN true;
END;
$$;

-- Make a job wait again that has begun. It loses its queueing lock if another waiting job has the same one.
CREATE OR REPLACE FUNCTION files_return_to_todo(_job bigint, _at timestamptz, _lock varchar)
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE procrastinate_jobs SET status = 'todo', worker_id = NULL, abort_requested = false,
        scheduled_at = _at, lock = coalesce(_lock, lock) WHERE id = _job;
EXCEPTION WHEN unique_violation THEN
    UPDATE procrastinate_jobs SET status = 'todo', worker_id = NULL, abort_requested = false,
        scheduled_at = _at, lock = coalesce(_lock, lock), queueing_lock = NULL WHERE id = _job;
END;
$$;
