-- How lists show the arguments of a job.

-- Return a text, or the beginning of a long one.
CREATE OR REPLACE FUNCTION files_abbreviated(_text text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN length(_text) > 60 THEN left(_text, 60) || '...' ELSE _text END
$$;

-- Return the first ten arguments of a job on one line for lists, each abbreviated.
CREATE OR REPLACE FUNCTION files_summary(_args jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(
        CASE WHEN number > 10 THEN '...' ELSE files_abbreviated(key) || '=' || files_abbreviated(value::text) END,
        ', ' ORDER BY number)
    FROM jsonb_each(_args) WITH ORDINALITY AS argument (key, value, number) WHERE number <= 11
$$;
