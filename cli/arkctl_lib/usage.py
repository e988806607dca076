"""The command usage: what tasks have cost, by day or month, client and model."""

import csv
import io
import urllib.parse

from arkctl_lib.failure import OK
from arkctl_lib.terminal import clean, write
from arkctl_lib.units import amount, cost

COLUMNS = ("tasks", "images", "paid_calls")


def usage(context, args):
    wanted = {"by": "month" if args.month else "day", "from": args.first or "", "to": args.last or ""}
    path = "/usage?" + urllib.parse.urlencode({name: value for name, value in wanted.items() if value})
    is_own = args.own or not context.gateway.admin_key
    report = context.gateway.client("GET", path) if is_own else context.gateway.admin("GET", path)
    names = [report["by"], *([] if is_own else ["client"]), "model"]
    context.terminal.document(report)
    if args.csv:
        _print_csv(report, names)
    elif not args.json:
        _print(context.terminal, report, names)
    return OK


def _print(terminal, report, names):
    rows = [[*(clean(row[name]) for name in names), *(str(row[name]) for name in COLUMNS), _cost(row["cost"])] for row in report["rows"]]
    if rows:
        terminal.table([[*(name.upper() for name in names), "TASKS", "IMAGES", "CALLS", "COST"], *rows])
        terminal.line()
        for currency, total in sorted(_sums(report["rows"]).items()):
            terminal.line(f"total {amount(total)} {clean(currency)}")
    else:
        terminal.line(f"no usage from {report['from']} to {report['to']}")
    if not report["counted"]:
        terminal.note("tasks are not counted at present: set a spending limit or GATEWAY_USAGE=on")
    for window in ("day", "month"):
        spending = report["spending"][window]
        if spending["limit"] is not None:
            left = max(0, round(spending["limit"] - spending["spent"] - spending["reserved"], 6))
            amounts = [f"{name} {amount(spending[name])}" for name in ("spent", "reserved")]
            terminal.line(f"limit per {window}: {amount(spending['limit'])}, {', '.join(amounts)}, "
                          f"left {amount(left)} {report['spending']['currency'] or ''}".rstrip())


def _cost(of):
    estimated = f" (of it estimated {amount(of['estimated_amount'])})" if of and of["estimated_amount"] else ""
    return cost(of) + estimated


def _sums(rows):
    sums = {}
    for row in rows:
        if of := row["cost"]:
            sums[of["currency"]] = round(sums.get(of["currency"], 0) + of["amount"], 6)
    return sums


def _print_csv(report, names):
    """As the gateway's format=csv. A text that a table calculation would run gets an apostrophe."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow([*names, *COLUMNS, "currency", "amount", "estimated_amount"])
    for row in report["rows"]:
        of = row["cost"]
        costs = [of["currency"], amount(of["amount"]), amount(of["estimated_amount"])] if of else ["", "", ""]
        texts = ["'" + row[name] if row[name].startswith(tuple("=+-@\t\r")) else row[name] for name in names]
        writer.writerow([*texts, *(row[name] for name in COLUMNS), *costs])
    write(table.getvalue())
