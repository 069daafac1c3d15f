-- How jobs leave a worker without the end of a step.

-- Release the jobs of a worker, all or only _job, so that any worker repeats their steps; return how many.
--
-- The function skips jobs that other transactions have locked. A job with a request to abort is aborted. Each
-- release counts as a rescue, and at the _max_rescues-th rescue at the same step the job fails: it may be what
-- kills its workers. NULL counts none.
--
-- The history gets an event deferred_for_retry without an event scheduled before it: job_events knows it by that
-- from one after a failure. files_claim writes the event started of the repetition.
CREATE OR REPLACE FUNCTION files_release_jobs(_worker bigint, _job bigint, _attempts integer, _max_rescues integer)
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
    ), released AS (
        UPDATE procrastinate_jobs SET worker_id = NULL, attempts = attempts + 1
        WHERE id IN (SELECT id FROM free WHERE NOT abort_requested) RETURNING id
    ), history AS (
        INSERT INTO procrastinate_events (job_id, type) SELECT id, 'deferred_for_retry' FROM released
    ), resumed AS (
        INSERT INTO files_job AS f (job_id, rescues, resume_order)
        SELECT id, CASE WHEN _max_rescues IS NULL THEN 0 ELSE 1 END, id FROM released
        ON CONFLICT (job_id) DO UPDATE
        SET resume_order = excluded.resume_order, rescues = f.rescues + excluded.rescues
        RETURNING job_id
    )
    SELECT array_agg(job_id) INTO _jobs FROM resumed;
    WITH failing AS (
        UPDATE files_job SET resume_order = NULL, traceback = NULL,
            error = 'The worker was lost ' || rescues || ' times while it ran this step'
        WHERE job_id = ANY (_jobs) AND rescues >= _max_rescues RETURNING job_id
    )
    UPDATE procrastinate_jobs SET status = 'failed', abort_requested = false
        WHERE id IN (SELECT job_id FROM failing);
    RETURN coalesce(cardinality(_jobs), 0);
END;
$$;

-- Leave a job between two steps, for any worker.
CREATE OR REPLACE FUNCTION files_resume_later(_job bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE procrastinate_jobs SET worker_id = NULL WHERE id = _job;
    INSERT INTO files_job (job_id, resume_order) VALUES (_job, _job)
        ON CONFLICT (job_id) DO UPDATE SET resume_order = excluded.resume_order;
$$;

-- Undo the claims of a worker that stops, but not of the jobs _kept; skip jobs that other transactions have locked.
--
-- A job at its first step becomes what it was before the claim, with the same history. A job at a later step
-- waits between two steps. So does a job whose queueing lock an open transaction needs: a worker that stops does
-- not wait for that transaction. The worker claims no more, so its claims need no new number of attempts.
CREATE OR REPLACE FUNCTION files_unclaim_jobs(_worker bigint, _kept bigint[]) RETURNS void LANGUAGE plpgsql
    SET lock_timeout = '100ms' AS $$
DECLARE
    job record;
BEGIN
    FOR job IN
        SELECT j.id, j.abort_requested, j.scheduled_at,
            coalesce(f.step, 0) + coalesce(f.rescues, 0) > 0 AS has_begun
        FROM procrastinate_jobs j LEFT JOIN files_job f ON f.job_id = j.id
        WHERE j.status = 'doing' AND j.worker_id = _worker AND j.id <> ALL (_kept)
        FOR UPDATE OF j SKIP LOCKED
    LOOP
        IF job.abort_requested THEN
            UPDATE procrastinate_jobs SET worker_id = NULL, attempts = attempts + 1,
                status = 'aborted', abort_requested = false WHERE id = job.id;
        ELSIF job.has_begun THEN
            PERFORM files_resume_later(job.id);
        ELSE
            BEGIN
                PERFORM files_return_to_todo(job.id, job.scheduled_at, NULL);
                DELETE FROM procrastinate_events WHERE job_id = job.id AND id >= (
                    SELECT max(id) FROM procrastinate_events WHERE job_id = job.id AND type = 'started');
                UPDATE files_job SET percent = NULL, text = NULL WHERE job_id = job.id;
            EXCEPTION WHEN lock_not_available THEN
                PERFORM files_resume_later(job.id);
            END;
        END IF;
    END LOOP;
END;
$$;

-- Leave jobs between two steps whose worker's row was deleted while they ran; return how many.
CREATE OR REPLACE FUNCTION files_requeue_orphans() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    _count integer;
BEGIN
    WITH orphans AS (
        SELECT j.id FROM procrastinate_jobs j LEFT JOIN files_job f ON f.job_id = j.id
        WHERE j.status = 'doing' AND j.worker_id IS NULL AND f.resume_order IS NULL
        FOR UPDATE OF j SKIP LOCKED
    ), requeued AS (
        UPDATE procrastinate_jobs SET attempts = attempts + 1
        WHERE id IN (SELECT id FROM orphans) RETURNING id
    ), history AS (
        INSERT INTO procrastinate_events (job_id, type) SELECT id, 'deferred_for_retry' FROM requeued
    )
    INSERT INTO files_job (job_id, resume_order) SELECT id, id FROM requeued
        ON CONFLICT (job_id) DO UPDATE SET resume_order = excluded.resume_order;
    GET DIAGNOSTICS _count = ROW_COUNT;
    RETURN _count;
END;
$$;
