-- How lists show the arguments of a job, and what a search looks at.

-- Return a text, or the beginning of a long one.
CREATE OR REPLACE FUNCTION files_abbreviated(_text text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN length(_text) > 60 THEN left(_text, 60) || '...' ELSE _text END
$$;

-- Return the first ten arguments of a call on one line for lists, each abbreviated.
CREATE OR REPLACE FUNCTION files_summary_of_call(_args jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(
        CASE WHEN number > 10 THEN '...' ELSE files_abbreviated(key) || '=' || files_abbreviated(value::text) END,
        ', ' ORDER BY number)
    FROM jsonb_each(_args) WITH ORDINALITY AS argument (key, value, number) WHERE number <= 11
$$;

-- Return the arguments of a job on one line for lists; of a chain, the first ten calls with theirs.
CREATE OR REPLACE FUNCTION files_summary(_task text, _args jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN files_calls(_task, _args) IS NULL THEN files_summary_of_call(_args) ELSE (
        SELECT string_agg(
            CASE WHEN number > 10 THEN '...' ELSE files_abbreviated(regexp_replace(call ->> '__call__', '.*[.]', ''))
                || '(' || coalesce(files_summary_of_call(call -> 'args'), '') || ')' END, ' → ' ORDER BY number)
        FROM jsonb_path_query(_args, '$.calls[0 to 10]') WITH ORDINALITY AS part (call, number)) END
$$;

-- Return what a search for a text looks at. It reads no arguments of more than 2000 bytes, so that it stays fast: a
-- chain with such arguments is not found by the names of its parts. Of an error it reads the first line, as its owner
-- does.
CREATE OR REPLACE FUNCTION files_searched(_title text, _task text, _args jsonb, _text text, _error text)
    RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT concat_ws(' ', _title, _task, CASE WHEN pg_column_size(_args) <= 2000 THEN _args::text END, _text,
        substring(_error FROM '^[^\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]*'))
$$;
