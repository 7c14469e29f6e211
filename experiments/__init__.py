"""The loop as plain functions, without Prefect: plan a run, export, predict, train, judge, compare, decide,
promote.
"""
