"""What turned out: predictions and the truth about them, kept to know how good each version is on live traffic.

    store      the two tables, in SQLite or PostgreSQL
    recorder   predictions on their way there, behind the requests
    figures    accuracy, AUC, calibration, cost
    routes     /v1/feedback

Neither inputs nor names are kept: a request's id or key is there as its hash alone. Off unless `QUARTET_FEEDBACK` says
where.
"""
