-- The history has a database of its own: neither can fill or block the other.
CREATE DATABASE patchbay_history;
