"""The command usage: what tasks have cost, by day or month, client and model."""

import csv
import io
import urllib.parse

from arkctl_lib.failure import OK
from arkctl_lib.terminal import clean, write

COLUMNS = ("tasks", "images", "paid_calls")


def usage(context, args):
    wanted = {"by": "month" if args.month else "day", "from": args.first or "", "to": args.last or ""}
    path = "/usage?" + urllib.parse.urlencode({name: value for name, value in wanted.items() if value})
    report = context.gateway.client("GET", path) if args.own or not context.gateway.admin_key else context.gateway.admin("GET", path)
    context.terminal.document(report)
    if args.csv:
        _print_csv(report)
    elif not args.json:
        _print(context.terminal, report)
    return OK


def _names(report):
    return [report["by"], *(["client"] if any("client" in row for row in report["rows"]) else []), "model"]


def _print(terminal, report):
    names = _names(report)
    rows = [[*(clean(row[name]) for name in names), *(str(row[name]) for name in COLUMNS), _cost(row["cost"])] for row in report["rows"]]
    if rows:
        terminal.table([[*(name.upper() for name in names), "TASKS", "IMAGES", "CALLS", "COST"], *rows])
        terminal.line()
        for currency, amount in sorted(_sums(report["rows"]).items()):
            terminal.line(f"total {amount:g} {clean(currency)}")
    else:
        terminal.line(f"no usage from {report['from']} to {report['to']}")
    if not report["counted"]:
        terminal.note("tasks are not counted at present: set a spending limit or GATEWAY_USAGE=on")
    for window in ("day", "month"):
        spending = report["spending"][window]
        if spending["limit"] is not None:
            terminal.line(f"limit per {window}: {spending['limit']:g}, spent {spending['spent']:g}, reserved {spending['reserved']:g}, "
                          f"left {max(0, round(spending['limit'] - spending['spent'] - spending['reserved'], 6)):g} {report['spending']['currency'] or ''}".rstrip())


def _cost(cost):
    if not cost:
        return "not known"
    return f"{cost['amount']:g} {cost['currency']}" + (f" (of it estimated {cost['estimated_amount']:g})" if cost["estimated_amount"] else "")


def _sums(rows):
    sums = {}
    for row in rows:
        if cost := row["cost"]:
            sums[cost["currency"]] = round(sums.get(cost["currency"], 0) + cost["amount"], 6)
    return sums


def _print_csv(report):
    """As the gateway's format=csv. A text that a table calculation would run gets an apostrophe."""
    names = _names(report)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow([*names, *COLUMNS, "currency", "amount", "estimated_amount"])
    for row in report["rows"]:
        cost = row["cost"] or {"currency": "", "amount": "", "estimated_amount": ""}
        texts = ["'" + row[name] if row[name].startswith(tuple("=+-@\t\r")) else row[name] for name in names]
        writer.writerow([*texts, *(row[name] for name in COLUMNS), cost["currency"], cost["amount"], cost["estimated_amount"]])
    write(table.getvalue())
