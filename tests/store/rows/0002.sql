-- A conversation with two targets, one of which refused.
BEGIN;
INSERT INTO chats VALUES ('01H0000000000000000000000A', '{"temperature": 0.5}', 100, 200);
INSERT INTO chat_turns (id, chat_id, place, deployment, variant, asked_at, question, answer, code, message, remedy,
                        request_id, ttft_us, took_us, tokens_in, tokens_out)
VALUES
  ('01U0000000000000000000000A', '01H0000000000000000000000A', 1, 'demo', 2, 200, 'Who?', 'I, « demo ».', NULL, '', '',
   'req-1', 5000, 90000, 12, 34),
  ('01U0000000000000000000000B', '01H0000000000000000000000A', 2, 'gone', NULL, 200, 'Who?', '', 'MODEL_UNKNOWN',
   'There is no model.', 'List them.', 'req-2', NULL, 700, NULL, NULL);
COMMIT;
