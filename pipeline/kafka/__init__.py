"""Everything that asks Kafka outside the engine: readers without a group, questions about topics.

`reader.py` is the consumer of all that read, `admin.py` asks about topics; `committed_log.py` reads
topics to an end, `ranges.py` some offsets of them, `by_offset.py` single records, `tail.py` reads
them as they grow; `errors.py` says what a failure means. Changing topics is ops/topics/admin.py's,
and looking one input up before it is skipped ops/skips.py's.

What is known about librdkafka 2.16, and what follows from it here and in pipeline/engine/kafka/,
which adds what concerns transactions and group members only (bounded_call.py, producer.py,
consumers.py):

- A client that is closed, or that nobody holds, never answers what it was asked. An answer about
  topics that reaches an admin client while it is being closed ends the process
  (`rd_kafka_DescribeTopicsResponse_parse`, which then gives neither result nor error). So `Admin`
  keeps each client until all that it was asked has an answer.
- An admin client ends the process when a connection goes that its question waits for (librdkafka's
  pull request 5397). So `Admin` reaches a broker before each question, and offsets are asked for by
  consumers where a process has to outlive its brokers.
- The admin client's question for a group's offsets ends the process while the coordinator of the
  group is loading. So a consumer that never joins the group asks for them.
- The admin client's question for a group's members ends the process if its time passes while the
  coordinator is being looked for, once that is found: the request is failed, and gives back twice
  what it had taken once. So its time-out is the greatest that there is, and who asks stops waiting.
- A client that lived through a broker's restart may go on asking with the leader epoch of before,
  which the broker refuses for ever. So a client that failed is replaced by a new one.
- A group's offsets are told to a consumer that is `read_uncommitted` at once; to another one only
  while no transaction is open that has offsets of the group.
- No event that a consumer reports is ever marked as retriable. So a reader that must survive all
  but fatal ones sets `is_patient` (`Reader`).
- Each consumer looks for the coordinator of its `group.id`, also where it joins no group: brokers
  and their access lists see the name.
"""
