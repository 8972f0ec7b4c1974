-- The server of the embedded AWS reads a request from a file, after its id has come through the named pipe,
-- and writes the answer to another file. Waiting for that file can be cancelled, as by statement_timeout.
CREATE FUNCTION aws_lambda._invoke(
    request jsonb, OUT status_code int, OUT payload text, OUT executed_version text, OUT log_result text
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    folder text := current_setting('data_directory') || '/aws_lambda/';
    id text := gen_random_uuid();
    content text;
    answer jsonb;
BEGIN
    EXECUTE format('COPY (SELECT %L) TO %L', encode(convert_to(request::text, 'UTF8'), 'hex'), folder || id || '.request');
    EXECUTE format('COPY (SELECT %L) TO %L', 'invoke ' || id, folder || 'pipe');
    LOOP
        content := pg_read_file(folder || id || '.answer', true);
        EXIT WHEN content IS NOT NULL;
        PERFORM pg_sleep(0.001);
    END LOOP;
    EXECUTE format('COPY (SELECT %L) TO %L', 'forget ' || id, folder || 'pipe');
    answer := content;
    IF answer ? 'hint' THEN
        RAISE EXCEPTION USING ERRCODE = 'XX000', MESSAGE = answer ->> 'error', HINT = answer ->> 'hint';
    ELSIF answer ? 'error' THEN
        RAISE EXCEPTION USING ERRCODE = 'XX000', MESSAGE = answer ->> 'error', DETAIL = answer ->> 'detail';
    END IF;
    status_code := answer ->> 'status_code';
    payload := answer ->> 'payload';
    executed_version := answer ->> 'executed_version';
    log_result := answer ->> 'log_result';
END $$;

CREATE FUNCTION aws_lambda.invoke(
    IN function_name text, IN payload json, IN region text DEFAULT NULL,
    IN invocation_type text DEFAULT 'RequestResponse', IN log_type text DEFAULT 'None',
    IN context json DEFAULT NULL, IN qualifier varchar(128) DEFAULT NULL,
    OUT status_code int, OUT payload json, OUT executed_version text, OUT log_result text
) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT status_code, payload::json, executed_version, log_result
    FROM aws_lambda._invoke(jsonb_build_object(
        'function_name', $1, 'payload', $2::text, 'region', $3, 'invocation_type', $4, 'log_type', $5,
        'context', $6::text, 'qualifier', $7))
$$;

CREATE FUNCTION aws_lambda.invoke(
    IN function_name aws_commons._lambda_function_arn_1, IN payload json,
    IN invocation_type text DEFAULT 'RequestResponse', IN log_type text DEFAULT 'None',
    IN context json DEFAULT NULL, IN qualifier varchar(128) DEFAULT NULL,
    OUT status_code int, OUT payload json, OUT executed_version text, OUT log_result text
) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM aws_lambda.invoke(($1).function_name, $2, ($1).region, $3, $4, $5, $6)
$$;

CREATE FUNCTION aws_lambda.invoke(
    IN function_name text, IN payload jsonb, IN region text DEFAULT NULL,
    IN invocation_type text DEFAULT 'RequestResponse', IN log_type text DEFAULT 'None',
    IN context jsonb DEFAULT NULL, IN qualifier varchar(128) DEFAULT NULL,
    OUT status_code int, OUT payload jsonb, OUT executed_version text, OUT log_result text
) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT status_code, payload::jsonb, executed_version, log_result
    FROM aws_lambda.invoke($1, $2::json, $3, $4, $5, $6::json, $7)
$$;

CREATE FUNCTION aws_lambda.invoke(
    IN function_name aws_commons._lambda_function_arn_1, IN payload jsonb,
    IN invocation_type text DEFAULT 'RequestResponse', IN log_type text DEFAULT 'None',
    IN context jsonb DEFAULT NULL, IN qualifier varchar(128) DEFAULT NULL,
    OUT status_code int, OUT payload jsonb, OUT executed_version text, OUT log_result text
) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM aws_lambda.invoke(($1).function_name, $2, ($1).region, $3, $4, $5, $6)
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA aws_lambda FROM PUBLIC;
GRANT USAGE ON SCHEMA aws_lambda TO rds_superuser WITH GRANT OPTION;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA aws_lambda TO rds_superuser WITH GRANT OPTION;
