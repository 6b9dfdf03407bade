-- The playground's history: conversations, each a number of rounds in which one question went to up to four targets.

-- `settings` is what its last question was asked with: temperature, max_tokens, seed, system.
CREATE TABLE chats (
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 26),
    settings TEXT NOT NULL CHECK (json_valid(settings)),
    created_at INTEGER NOT NULL CHECK (created_at > 0),
    asked_at INTEGER NOT NULL CHECK (asked_at > 0)
) STRICT;
CREATE INDEX chats_asked ON chats (asked_at);

-- One question to one target, with what came back. `place` is the column that it stood in. `deployment` is a name, not a
-- reference: what was said stays when the deployment is gone. `variant` is set if only that variant was asked.
CREATE TABLE chat_turns (
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 26),
    chat_id TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
    place INTEGER NOT NULL CHECK (place BETWEEN 1 AND 4),
    deployment TEXT NOT NULL CHECK (length(deployment) BETWEEN 1 AND 63),
    variant INTEGER CHECK (variant > 0),
    asked_at INTEGER NOT NULL CHECK (asked_at > 0),
    question TEXT NOT NULL,
    answer TEXT NOT NULL,
    stopped INTEGER NOT NULL DEFAULT 0 CHECK (stopped IN (0, 1)),
    code TEXT,
    message TEXT NOT NULL DEFAULT '',
    remedy TEXT NOT NULL DEFAULT '',
    request_id TEXT NOT NULL DEFAULT '',
    ttft_us INTEGER CHECK (ttft_us >= 0),
    took_us INTEGER CHECK (took_us >= 0),
    tokens_in INTEGER CHECK (tokens_in >= 0),
    tokens_out INTEGER CHECK (tokens_out >= 0)
) STRICT;
CREATE INDEX chat_turns_chat ON chat_turns (chat_id, id);
