-- Which container an instance runs in, and how far its host is with what it has to fetch before.

ALTER TABLE instances ADD COLUMN container TEXT;
ALTER TABLE instances ADD COLUMN progress TEXT;
