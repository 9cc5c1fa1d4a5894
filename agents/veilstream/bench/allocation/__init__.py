"""Who gets what, when models compete for a budget: the four allocators on the published kinds of workload.

Event-driven and seeded, without store, broker or clock: the same seed is the same run. Every policy sees the
same demands, and each charge that it proposes goes through the ledger's own filter.

| file | question |
|---|---|
| `workload` | what is a run: blocks and demands over time |
| `privatekube`, `dpack` | the two published kinds, with their parameters |
| `simulate` | what a policy grants of it |
| `figures` | granted, shares, fairness and delay, over seeds |
| `measure` | all policies over all seeds |
| `plot` | the same as a picture |

What a run says about a policy holds for that workload. The workloads are rebuilt from the papers'
descriptions and published configurations; the data are our own.
"""
