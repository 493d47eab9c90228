"""What the person on call reads in Airflow: what a task does, what its failure means, what to do."""

from __future__ import annotations

DBT_REMEDY = (
    "Find the first `Failure in` or `Error in` above: it names the model or the test, and the compiled SQL that "
    "shows the rows. Data at fault: mend the feed, then trigger again. SQL at fault: it is a defect."
)

DAG = """
### personalize_daily
Turns a shop's feeds into portraits, recommendations and home pages for one day, and publishes them as one set.

**It failed. Are readers affected?** No: the tables of the last good run stay until a whole new set has passed
its checks. `pipeline_runs` in the warehouse says that this run was refused and why.

**What to do.** Open the first red task (not `record_refusal`, not the orange ones behind it) and read the end
of its log: `ERROR in ...` says what happened, `WHAT TO DO` the remedy. Then *Clear* that task with what is
downstream, or trigger the day again. Every task may run twice: it replaces what it wrote.

**Trigger by hand.** The form asks for shop, day, full refresh and source; all may stay as they are. A past
day comes out as it did then, since nothing later than the day is read.

**"The shop's working files are those of run ..."**: another run of the shop came in between. Clear *all* tasks of
this run, not the one: it has to start over. **"The shop is at work for run ..."**: wait for that run, or stop it.

**May be ignored:** a task that passed at its second attempt; `record_refusal` skipped (nothing failed).
"""

TRAINING_DAG = """
### train_models_weekly
Fine-tunes the text encoder and trains a recommender for one day of a shop. Each is promoted if it beats its
champion and simple baselines on days that it has not seen: the last 7, the encoder on the 7 before. The daily run
of that day must have been there: it leaves the features.

**It failed. Are readers affected?** No: the daily run goes on with the champion, or with the blend.

**What to do.** Read the end of the red task's log, *Clear* the task. Training goes on from its last epoch.

**Undo a promotion.** Delete `lake/models/recommender/promotions/<day>.json`: the champion before it serves, with
the text vectors it was trained on. An encoder's promotion (`lake/models/text_encoder/promotions/<day>.json`)
only says what the next training starts from.

**May be ignored:** a challenger that was not promoted; a week without training.
"""

FRESHNESS_DAG = """
### check_freshness
At the hour in `publish_by`: are yesterday's tables in the warehouse? It asks the warehouse, not Airflow, and so
also notices a daily run that is paused, waits, was refused or never started. Red: they are not there.

**It failed. Are readers affected?** They read the tables of an earlier day: the log says of which.

**What to do.** Look at the runs of `personalize_daily`. One that is still at work may bring the tables by itself.

**May be ignored:** red on a day that was published later, seen in `data_freshness`.
"""

FORGETTING_DAG = """
### forget_users
Forgets the users of the feed `erasure_requests` everywhere: landing, lake, history, reports, warehouse,
PostgreSQL, S3. Each gets a receipt, `lake/erasure_receipts/<pseudonym>.json`, closed once a search over everything
finds nothing. Then what was kept long enough is deleted. docs/privacy.md says how, and what stays the operator's.

**It failed. Are readers affected?** No: each table is replaced whole. Users who asked are in no portrait and no
list from the next daily run on, whether or not this one is through.

**What to do.** Read the end of the red task's log, *Clear* the task: everything goes on where it was. Mind the
law's term (in the EU a month from the request): `requested_at` in the receipts that are still open.

**May be ignored:** a day without requests; targets that are not set are skipped.
"""

TASKS = {
    "check_freshness": """
Reads `data_freshness` in the warehouse and compares its day with the one that should be there.

**Failure:** the day's tables are not in place; the log says of which day those in place are and how the last run
ended. **Do:** as the log says.
""",
    "prepare": """
Makes feed files from the shop's source: `simulated` generates them, `online_retail` and
`completejourney` convert public data sets, `feeds` has nothing to do.

**Failure:** the source is missing or is not what the adapter expects. **Do:** correct *Source* (or `source`
in qianmian.toml) and trigger again.
""",
    "land": """
Copies new feed files, byte for byte, to `lake/landing`, with size and checksum verified. Goes on where it was
interrupted; copies nothing twice.

**Failure:** source not reachable, credentials, a required feed (events, items) without any file. **Do:** as
the log says; a network failure is tried again by itself.
""",
    "clean": """
Spark: items, users, campaigns, merchandising rules and erasure requests, typed, checked, user ids as pseudonyms;
then events, contacts and reviews: de-duplicated, late ones into their day, bots out, consent applied, sessions.
Bad rows go to `clean/quarantine` with their reason. Tried again, it goes on with the half that was not done.

**Failure:** a file that cannot be read, or too many bad rows in one file (`max_quarantined_share`). **Do:**
look at the file that the log names; have the shop hand it over again, or raise the share knowingly.
Killed by signal 9: memory ran out; lower or raise `spark_driver_memory` to fit the machine.
""",
    "check_clean": """
Great Expectations on the clean tables; results in `runs/<run>/checks_clean.html` and in
`data_quality_results`.

**Failure:** a check of severity *error* does not hold: the data are not what they should be. **Do:** open the
page; mend the feed. **May be ignored:** warnings; they are recorded and do not stop the run.
""",
    "build_features": """
dbt: staging, daily aggregates (only of the days that changed), features per user and item, with their tests.

**Failure:** a model or test of dbt. **Do:** the log names it. If kept aggregates are suspected, trigger with
*Full refresh*.
""",
    "embed_items": """
Text vectors of items that are new or whose text changed.

**Failure:** the model (`text_encoder`) cannot be loaded: its name, or no hub within reach; or memory. **Do:**
correct the setting.
""",
    "portray": """
What is believed of users, segments and items: traits with their evidence, taste segments, portraits in words.

**Failure:** the features are not there, memory, or the model in `portrait_writer` cannot be loaded. **Do:** as
the log says. **May be ignored:** reviews judged by stars because a shop has too few of them; a language model's
texts refused (the template's stand): the report has both.
""",
    "recommend": """
Twenty home recommendations for each user, each with score, reason and evidence, made by the champion of the
weekly training; by the blend where none is promoted, or where the text model that it was trained on is gone.

**Failure:** memory, or the champion's files are not whole. **Do:** as the log says.
""",
    "lay_out_pages": """
The home page of each user from the day's lists: modules, their order, titles and reasons in two languages.

**Failure:** the lists or the features are not there (run the steps before it), or memory. **Do:** as the log
says. A module that few users have is no failure: the report says how many have each.
""",
    "evaluate": """
Measures the recommender on later purchases where there are any, else on held-out days, against popularity;
fills `model_metrics`.

**Failure:** memory, or a defect. A *low* figure is no failure: it is in the table.
""",
    "build_tables": """
dbt: the tables as they will be published, with their contracts and tests.

**Failure and remedy:** as in `build_features`.
""",
    "check_tables": """
Great Expectations on the tables about to be published; results in `runs/<run>/checks_tables.html`.

**Failure:** a check of severity *error* does not hold: nothing is published, readers keep the last good set.
**Do:** open the page; the check's name says what is wrong.
""",
    "publish": """
Puts the whole set in place by one rename of the warehouse file, and writes the history.

**Failure:** the disk is full or the warehouse's folder cannot be written. **Do:** make room, then *Clear*
this task.
""",
    "record_refusal": """
Runs only if a task failed: writes a row with status `refused` and the reason to `pipeline_runs`. Skipped
otherwise.

**Failure:** the refusal is not in the table; the failed task's log has the reason all the same.
""",
    "train_encoder": """
Fine-tunes the text encoder on what users chose together up to 70 days ago (later in a young shop), before the
weeks that the recommender is fitted on, for `text_fine_tuning_seconds` at most. Its state is saved at each
evaluation. A small shop, or one whose texts teach nothing new, keeps the base model: the log's last lines say why.

**Failure:** the daily run has not been there for that day, or memory. **Do:** as the log says, then *Clear* this
task.
""",
    "promote_encoder": """
Holds the fine-tuned encoder against the champion and the base model: who finds, by text alone, what users bought
new in the last week but one. The log's line `DECISION` has the numbers. Not being promoted is no failure.

**Failure:** a version's files are not whole. **Do:** as the log says.
""",
    "embed_for_training": """
Vectors of the whole catalogue by the encoder that the next recommender is trained on, beside those that serve. The
daily run switches to them when that recommender is promoted.

**Failure:** as in `embed_items`.
""",
    "train_recommender": """
Trains a recommender on all but the last 7 days, its sequence models for about `recommender_training_seconds`.
State is saved after each epoch; MLflow keeps the curves.

**Failure:** the daily run has not been there for that day, too little history, or memory. **Do:** as the log
says, then *Clear* this task: it goes on where it was.
""",
    "promote_recommender": """
Holds the new recommender against champion, blend, popularity and item-to-item on the last 7 days, by segment.
The log's line `DECISION` says what was decided and by which numbers; `model_metrics` has them from the next
daily run on. Not being promoted is no failure.

**Failure:** a version's files are not whole. **Do:** as the log says.
""",
    "published": """
Runs nothing: green means that the day's set is in place, orange that it is not.
""",
    "publish_postgres": """
Brings the PostgreSQL schema up to the DuckDB warehouse: the tables of the latest run, all runs, all history.
They are loaded beside the current set, which readers see whole until the new one takes its place in one
transaction. Skipped where `postgres_target` is empty.

**Failure:** the server is not reachable, its disk is full, rights are missing, forgetting there takes longer than
it waits, or the schema is another shop's. Readers there go on with the set they have; the DuckDB warehouse is
not affected. **Do:** as the log says; nothing is lost if it waits until the next run, which brings all that was
missed.
""",
    "publish_s3": """
Uploads the tables of runs that are not in S3 yet, each with its manifest last, then moves `latest.json`.
Skipped where `s3_target` is empty.

**Failure:** the store is not reachable, credentials may not list, read, write and delete there, or the prefix is
another shop's. **Do:** as the log says; the next run uploads what is missing.
""",
    "forget_users": """
Opens a receipt for each request; takes the users' rows out of landed files and an adapter's feeds, cleans what
changed again, rewrites features, outputs, history, reports and logs, makes the warehouse anew.

**Failure:** a landed file cannot be read, another program has a DuckDB file open, memory. **Do:** as the log
says. The daily run waits from here until `apply_retention` has ended. **"The shop is at work for run ..."**, six
times: a daily run did not end within an hour; the next run of this DAG does it.
""",
    "forget_in_postgres": """
Deletes the users' rows in all sets and in the history, in one transaction, then writes the tables' files anew
where no reader is in the way. Skipped where `postgres_target` is empty.

**Failure:** the server is not reachable, or rights are missing. **Do:** as the log says; receipts stay open and
the next run does it.
""",
    "forget_in_s3": """
Rewrites the objects that hold the users, and their checksums in the manifests; deletes earlier versions where the
bucket keeps any. Skipped where `s3_target` is empty.

**Failure:** the store is not reachable, or credentials may not list, read, write and delete objects and versions
there. **Do:** as the log says; receipts stay open and the next run does it.
""",
    "close_receipts": """
Searches every file, table and object, its earlier versions too, for the users. Where nothing is found their
receipts are closed.

**Failure:** something was found: the log names where. **Do:** run the DAG again; a file of another program in the
shop's folder has to be deleted by hand.
""",
    "apply_retention": """
Deletes history, rejected rows' texts and reports older than `keep_history_days`, `keep_quarantine_days`,
`keep_reports_days`. The report says what went. PostgreSQL and S3 follow with the next publishing.

**Failure:** another program has the warehouse open for writing. **Do:** close it; the next run deletes it.
""",
}
