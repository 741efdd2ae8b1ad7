-- A password that somebody else chose must be changed by its holder before they may do anything else. `false` is what a
-- release that does not know the column writes.
ALTER TABLE users ADD COLUMN password_must_change boolean NOT NULL DEFAULT false;

-- The first account made itself. While it was never changed it has the password it was made with, which stands in a Secret.
UPDATE users SET password_must_change = true WHERE created_by = id AND version = 1;
