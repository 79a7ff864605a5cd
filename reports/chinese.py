"""Simplified Chinese. Keys are the English phrases as they stand in templates and charts; values keep their fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

PHRASES: Final[Mapping[str, str]] = {
    # punctuation, units, counted nouns
    ", ": "、",
    ".": "。",
    ". ": "。",
    "; ": "；",
    "s": "秒",
    "min": "分",
    "ms": "毫秒",
    "{n} order": "{n} 笔订单",
    "{n} resting order": "{n} 笔挂单",
    "{n} open order": "{n} 笔未结订单",
    "{n} play": "{n} 场",
    "{n} fill": "{n} 笔成交",
    "{n} cancel": "{n} 次撤单",
    "{n} break": "断线 {n} 次",
    "{n} step": "{n} 个步骤",
    "{n} attempt": "{n} 次尝试",
    "{n} time": "{n} 次",
    "{n} reading": "{n} 次读数",
    "{n} measurement": "{n} 次测量",
    "{n} run": "{n} 次运行",
    "{n} line": "{n} 行",
    "{n} gap": "{n} 个间隔",
    "{n} row": "{n} 条",
    "{n} sample": "样本 {n} 个",
    # verdicts and states
    "Accepted": "通过",
    "Not accepted": "未通过",
    "Interrupted": "已中断",
    "Not proven flat": "未证明已平仓",
    "Environment failed": "环境故障",
    "Unfinished": "未完成",
    "passed": "通过",
    "failed": "失败",
    "interrupted": "中断",
    "skipped": "跳过",
    "not tested": "未测试",
    "✓ accepted": "✓ 接受",
    "✗ rejected": "✗ 拒绝",
    "○ no decision": "○ 未作决定",
    "✓ sound": "✓ 有效",
    "yes": "是",
    "no": "否",
    "not proven": "未证明",
    "buy": "买入",
    "sell": "卖出",
    "maker": "挂单方",
    "taker": "吃单方",
    "error": "错误",
    "alarm": "警报",
    "note": "说明",
    "before": "之前",
    "change": "变化",
    "after": "之后",
    "unknown": "未知",
    "the run": "整个运行",
    "simulators on this machine": "本机上的模拟交易所",
    "the exchanges' test networks": "交易所的测试网络",
    "the real exchanges, with real money": "真实交易所，真实资金",
    "Round trip": "完整开平",
    "Flat at the end": "结束时无持仓",
    "Heartbeat": "心跳",
    "No unhandled errors": "没有未处理的错误",
    "Logs complete": "日志完整",
    # head
    "Totals: {plays}, {orders}, {fills}; acceptance: {passed} passed, {failed} failed, {rest} not tested.": (
        "合计：{plays}、{orders}、{fills}；验收：{passed} 项通过，{failed} 项失败，{rest} 项未测试。"
    ),
    "Played on": "运行环境",
    "Started": "开始",
    "Ended": "结束",
    "Lasted": "历时",
    "Exit code": "退出码",
    "Run": "运行编号",
    "Interrupted by": "中断信号",
    "Halted by hand": "人工停机",
    "by the command runner halt": "由命令 runner halt 发起",
    "through its endpoint": "通过其接口发起",
    "positions to be closed": "要求平仓",
    "positions to be left open": "要求保留持仓",
    "SIMULATED RUN": "模拟运行",
    " (simulated)": "（模拟）",
    "No real exchange took part and no money moved. The connectors are the ones that trade for real; the exchanges "
    "were simulators on this machine.": (
        "没有真实交易所参与，没有资金变动。连接器与真实交易所用的是同一套；交易所是本机上的模拟器。"
    ),
    "UNFINISHED RUN": "未完成的运行",
    "This run did not end: it has no outcome. What stands here was told again from its plan, its journal and the "
    "timelines of its orders. Nothing below proves that nothing is open; `runner recover` does.": (
        "这次运行没有结束，没有结果文件。以下内容由计划、流水和订单时间线重新整理而成，不能证明没有未结的订单或持仓；"
        "`runner recover` 才能证明。"
    ),
    "Signed by": "签署",
    "Decision": "决定",
    "Name": "姓名",
    "Role": "职务",
    "When": "时间",
    "Key fingerprint": "密钥指纹",
    "Signature": "签名",
    "Comment": "备注",
    " (of a simulated run)": "（模拟运行）",
    "A fingerprint names a key, not a person: compare it with the one the signer gave you. `runner verify` checks "
    "every byte.": "指纹代表密钥，不代表人：请与签署人给您的指纹核对。`runner verify` 会检查每一个字节。",
    # acceptance and exchanges
    "Acceptance": "验收",
    "Criterion": "标准",
    "Where": "位置",
    "Wanted": "要求",
    "Evidence": "证据",
    "Verdict": "结论",
    "No acceptance line was judged.": "没有评定任何验收标准。",
    "Exchanges": "交易所",
    "Exchange": "交易所",
    "Market": "市场",
    "Orders": "订单",
    "Final position": "最终持仓",
    "What happened": "经过",
    "Nothing was played on any exchange.": "没有在任何交易所运行。",
    "Next: {move}": "下一步：{move}",
    "Asked for": "要求",
    "Orders and fills": "订单与成交",
    "Tracking buy": "跟踪买入",
    "Tracking sell": "跟踪卖出",
    "{filled} of {quantity}": "{filled} / {quantity}",
    " at {price}": "，价格 {price}",
    " at market": "，市价",
    "Slippage, buy": "买入滑点",
    "Slippage, sell": "卖出滑点",
    "{bps} bp against the mid of {mid}": "{bps} 基点，相对中间价 {mid}",
    ", flat": "，无持仓",
    ", NOT FLAT": "，仍有持仓",
    ", not proven": "，未证明",
    "Margin balance": "保证金余额",
    "Fees": "手续费",
    "Attempts and prices": "尝试与价格",
    "Buy {quantity}: filled {filled} in {attempts}, ended {reason}.": (
        "买入 {quantity}：{attempts}成交 {filled}，结束原因 {reason}。"
    ),
    "Sell {quantity}: filled {filled} in {attempts}, ended {reason}.": (
        "卖出 {quantity}：{attempts}成交 {filled}，结束原因 {reason}。"
    ),
    "Average price {price}, mid at the start {mid}": "均价 {price}，开始时的中间价 {mid}",
    ": slippage {bps} basis points (positive costs us)": "：滑点 {bps} 基点（正数为成本）",
    "Prices in order: {prices}.": "依次价格：{prices}。",
    "Attempt": "次序",
    "Client id": "客户端编号",
    "Price": "价格",
    "Size": "数量",
    "Filled": "已成交",
    "Placed (UTC)": "下单时间（UTC）",
    "No tracking limit was asked for.": "没有要求跟踪限价单。",
    "Fills": "成交",
    "Average price: {prices}.": "均价：{prices}。",
    "Time (UTC)": "时间（UTC）",
    "Side": "方向",
    "Fee": "手续费",
    "Fee in": "手续费币种",
    "Role at the exchange": "成交角色",
    "Order": "订单",
    "Trade": "成交编号",
    ", late": "，迟到",
    "Nothing was filled.": "没有成交。",
    "The exchange's own reading: **{quantity} {symbol}** and {orders}, read at {moment} from {source}.": (
        "交易所自己的读数：**{quantity} {symbol}**，{orders}，读取时间 {moment}，来源 {source}。"
    ),
    "The exchange's own reading is missing: nothing proves that the position is flat.": (
        "缺少交易所自己的读数：没有任何东西能证明持仓为零。"
    ),
    "Before": "之前",
    "After": "之后",
    "Flat": "无持仓",
    "Margin": "保证金",
    "Reading": "读数",
    "Balance": "余额",
    "Gained": "增减",
    "Available": "可用",
    "outcome.json holds {n} more; the last: balance {balance}, available {available}.": (
        "其余 {n}见 outcome.json；最后一次：余额 {balance}，可用 {available}。"
    ),
    "The margin was not read.": "没有读取保证金。",
    "Paid": "支付",
    "Asset": "币种",
    "No fee was charged.": "没有收取手续费。",
    "Stream": "数据流",
    "Lost {n}.": "断开 {n}。",
    "Lost (UTC)": "断开（UTC）",
    "Back in sync (UTC)": "恢复同步（UTC）",
    "Away": "离线",
    "Why": "原因",
    "Never lost.": "从未断开。",
    "Rate limits": "频率限制",
    "Refused as too many requests: {n}.": "因请求过多被拒：{n}。",
    "No request was refused for its rate.": "没有请求因频率被拒。",
    "Waited for room: {n}.": "等待额度：{n}。",
    "Nearest to a limit: {peak} of {limit} in {secs} s ({name}).": "最接近上限：{secs} 秒 {peak}/{limit}（{name}）。",
    "Steps": "步骤",
    "Status": "状态",
    "Step": "步骤",
    "Took": "用时",
    "What was asked": "要求",
    "Numbers": "数值",
    " (finally)": "（收尾）",
    "No step was begun.": "没有开始任何步骤。",
    # charts
    "What happened when": "时间线",
    "Nothing happened that has a time.": "没有任何带时间的事件。",
    "Prices": "价格",
    "No price was seen.": "没有看到价格。",
    "Position and margin over time": "持仓与保证金的变化",
    "Neither was read.": "两者都没有读数。",
    "Cancels": "撤单",
    "up all the time": "始终在线",
    "stream never lost": "数据流从未断开",
    "lost: {why}": "断开：{why}",
    "order {id} cancelled": "订单 {id} 已撤销",
    "{side} {size} filled at {price}, {time}": "{side} {size}，成交价 {price}，{time}",
    "{name}: {steps}, {orders}, {fills}, {cancels}, {breaks}.": (
        "{name}：{steps}、{orders}、{fills}、{cancels}、{breaks}。"
    ),
    "From {start} to {end}.": "从 {start} 到 {end}。",
    "{quotes} of bid and ask, {orders} and {fills} between {low} and {high}, from {start} to {end}.": (
        "买卖价{quotes}，{orders}，{fills}，价格介于 {low} 与 {high}，从 {start} 到 {end}。"
    ),
    "Prices at {name}": "{name} 的价格",
    "Position at {name}": "{name} 的持仓",
    "Margin at {name}": "{name} 的保证金",
    "the exchange reads {quantity}": "交易所读数 {quantity}",
    "Position by our own fills: {before} at first, between {low} and {high}, {after} at last.": (
        "按我方成交计算的持仓：最初 {before}，介于 {low} 与 {high}，最后 {after}。"
    ),
    "Balance from {before} to {after}, least free margin {least}, {n}.": (
        "余额从 {before} 到 {after}，可用保证金最低 {least}，{n}。"
    ),
    "Band: best bid to best ask. Line: the price at which our order rested. ▲ buy fill, ▼ sell fill.": (
        "色带：最优买价到最优卖价。横线：我方挂单价格。▲ 买入成交，▼ 卖出成交。"
    ),
    "Seconds since the first sign of life. ● fill, × cancel, outlined bar: failed or lost.": (
        "自首个事件起的秒数。● 成交，× 撤单，空心条：失败或断线。"
    ),
    "Position by our own fills; ◆ the exchange's own last reading.": "按我方成交计算的持仓；◆ 交易所自己的最后读数。",
    "Margin: balance (strong line) and what is free of it (thin line).": "保证金：余额（粗线）与其中可用部分（细线）。",
    "One dot is one measurement, the upright line is the median.": "每个点是一次测量，竖线为中位数。",
    # timing
    "Latency and intervals": "延迟与间隔",
    "Submit to acknowledgement": "下单到确认",
    "From the moment an order was sent to the moment its acceptance was known.": "从订单发出到得知被接受。",
    "Cancel to acknowledgement": "撤单到确认",
    "From the moment a cancel was asked for to the moment it was confirmed.": "从请求撤单到得到确认。",
    "Age of news": "消息滞后",
    "Between the exchange's own time of an event and its arrival here; the offset of both clocks is in it.": (
        "交易所记录的事件时间与到达本机之间的差；包含两边时钟的偏差。"
    ),
    "Interval error": "间隔误差",
    "Measured interval of a tracking limit minus the wanted one.": "跟踪限价单的实测间隔减去要求的间隔。",
    "Measured": "次数",
    "Least, ms": "最小（毫秒）",
    "Median, ms": "中位数（毫秒）",
    "9 of 10 within, ms": "九成以内（毫秒）",
    "Most, ms": "最大（毫秒）",
    "Not measured.": "没有测量。",
    "{venue}: median {median} ms": "{venue}：中位数 {median} 毫秒",
    "{venue}: {n}, median {median} ms, most {most} ms.": "{venue}：{n}，中位数 {median} 毫秒，最大 {most} 毫秒。",
    # orders
    "Order timelines": "订单时间线",
    'Times are UTC of this machine; "engine" is the exchange\'s own time.': (
        "时间为本机的 UTC 时间；“引擎时间”是交易所自己的时间。"
    ),
    "Orders at {venue}": "{venue} 的订单",
    ", IN DOUBT": "，状态不明",
    ", filled {size}": "，已成交 {size}",
    "Exchange's id {id}. ": "交易所编号 {id}。",
    "Sent {time}": "发出 {time}",
    "Never sent": "从未发出",
    ", acknowledged {secs} later": "，{secs}后得到确认",
    ", not acknowledged": "，未得到确认",
    ", cancel confirmed {time}": "，撤单确认 {time}",
    " Timeline: {file}.": " 时间线文件：{file}。",
    "From": "从",
    "To": "到",
    "Cause": "起因",
    "Source": "来源",
    "Engine (UTC)": "引擎时间（UTC）",
    "Detail": "详情",
    "The timeline file holds {n} more.": "其余 {n}见时间线文件。",
    "No order was made.": "没有下过订单。",
    # heartbeat and errors
    "No heartbeat was configured.": "没有配置心跳。",
    "Every {secs} to {hosts}: {sent} delivered, {failed} failed; longest gap {gap}.": (
        "每 {secs}发往 {hosts}：送达 {sent} 次，失败 {failed} 次；最长间隔 {gap}。"
    ),
    "no endpoint": "无接收端",
    "not measured": "未测量",
    " What could not be delivered is in {file}.": " 未能送达的内容在 {file}。",
    "From (UTC)": "从（UTC）",
    "To (UTC)": "到（UTC）",
    "Gap": "间隔",
    "outcome.json holds {n} more.": "其余 {n}见 outcome.json。",
    "No gap longer than it should be.": "没有过长的间隔。",
    "Errors and alarms": "错误与警报",
    "Errors, alarms and notes": "错误、警报与说明",
    "Kind": "类别",
    "Code": "代码",
    "What": "内容",
    "None.": "无。",
    "What was not tested": "未测试的内容",
    "Nothing was left out on purpose; what no line above speaks of was not tested.": (
        "没有有意略去的内容；上文未提及的均未测试。"
    ),
    # earlier runs and origin
    "Earlier runs on this machine": "本机上较早的运行",
    "The same scenario, played on the same kind of place. They were found beside this run and are no part of its "
    "evidence.": "同一场景、同类环境。它们位于本次运行旁边，不属于本次运行的证据。",
    "Attempts": "尝试次数",
    "Slippage, bp": "滑点（基点）",
    "Submit to ack, ms": "下单到确认（毫秒）",
    " (this run)": "（本次）",
    "{n}: {first} at first, {last} at last, between {low} and {high}.": (
        "{n}：最初 {first}，最近 {last}，介于 {low} 与 {high}。"
    ),
    "Where this comes from": "来源",
    "Value": "值",
    "Command": "命令",
    "Scenario": "场景",
    "Scenario SHA-256": "场景 SHA-256",
    "Plan SHA-256": "计划 SHA-256",
    "Seed": "种子",
    "Speed": "倍速",
    "Schema": "格式",
    "The scenario as it was played": "所运行的场景原文",
}

SENTENCES: Final[Sequence[tuple[str, str]]] = (
    # Sentences of the engine, as regular expressions; a group that is itself such a sentence is translated too.
    (
        r"The exchange played every step, met every line and is proven flat\.",
        "该交易所完成了全部步骤，满足全部标准，并已证明无持仓。",
    ),
    (
        r"All (\d+) exchanges played every step, met every line and are proven flat\.",
        "全部 {0} 家交易所完成了所有步骤，满足全部标准，并已证明无持仓。",
    ),
    (
        r"The run was stopped by hand; it cleaned up and is proven flat\.",
        "运行被人工停止；已完成清理，并已证明无持仓。",
    ),
    (r"(\w+) played every step and is proven flat", "{0} 完成了全部步骤，已证明无持仓"),
    (r"(\w+) was interrupted and is proven flat", "{0} 被中断，已证明无持仓"),
    (r"(\w+) failed and is proven flat: (.+?)\.?", "{0} 失败，但已证明无持仓：{1}"),
    (r"(\w+) could not be played: (.+?)\.?", "{0} 无法运行：{1}"),
    (r"(\w+) is NOT proven flat: (.+?)\.?", "{0} 未证明无持仓：{1}"),
    (
        r"(\w+) was halted by hand; positions were left open as asked: (.+?)\.?",
        "{0} 被人工停机；按要求保留持仓：{1}",
    ),
    (r"(\w+) is proven flat but failed (\w+): (.+?)\.?", "{0} 已证明无持仓，但未满足 {1}：{2}"),
    (r"its last reading failed", "最后一次读数失败"),
    (r"the exchange reads (\S+) (\w+), (\d+) open orders?", "交易所读数 {0} {1}，{2} 笔未结订单"),
    (r"flat, no open orders", "无持仓，无未结订单"),
    (r"no position, no open order", "无持仓，无未结订单"),
    (r"nothing was sent", "没有发出任何请求"),
    (r"at least (\d+)", "至少 {0} 次"),
    (r"none", "无"),
    (r"(\d+) round trips? by the exchange's own trades", "按交易所自己的成交记录，完整开平 {0} 次"),
    (r"no gap above (\S+) s", "间隔不超过 {0} 秒"),
    (r"(\d+) beats? delivered, (\d+) not, longest gap (\S+) s", "送达 {0} 次，未送达 {1} 次，最长间隔 {2} 秒"),
    (r"no heartbeat endpoint is configured", "没有配置心跳接收端"),
    (r"every order's timeline replays to its final state", "每笔订单的时间线都能重放到最终状态"),
    (r"(\d+) timelines? replayed", "重放了 {0} 条时间线"),
    (
        r"Real exchanges: this run traded on local simulators, with simulated prices and money\.",
        "真实交易所：本次运行在本机模拟器上交易，价格与资金均为模拟。",
    ),
    (r"Waiting at full length: waits were shortened (\S+) times\.", "完整等待时间：等待被缩短为 1/{0}。"),
    (r"A whole round trip was not asked for\.", "没有要求完整开平。"),
    (r"Heartbeat gaps were not asked for\.", "没有要求检查心跳间隔。"),
    # what a play ended with
    (r"(.+) already holds (.+); (run \S+ left a play on this account without a proven end)", "{0} 已有{1}；{2}"),
    (r"run (\S+) left a play on this account without a proven end", "运行 {0} 在此账户上留下了一场未证明结束的交易"),
    (r"(\w+) already holds (.+)", "{0} 已有{1}"),
    (r"(\d+ open orders? \(.+\)) and (a position of \S+ \w+)", "{0}和{1}"),
    (r"(\d+) open orders? \((.+)\)", "{0} 笔未结订单（{1}）"),
    (r"a position of (\S+) (\w+)", "持仓 {0} {1}"),
    (
        r"taken over: (.+): the orders are cancelled, a position is closed by `flatten` with the play's own",
        "已接管：{0}：订单被撤销，持仓由 `flatten` 与本场自己的持仓一起平掉",
    ),
    (
        r"(run \S+|an earlier run) left (\d+) orders? on (\w+) whose end is not proven",
        "{0}在 {2} 上留下了 {1} 笔未证明结束的订单",
    ),
    (r"run (\S+)", "运行 {0} "),
    (r"an earlier run", "较早的运行"),
    (
        r"run (\S+) left a play of (\w+) on (\w+) without a proven end, and coins do not tell whose they are",
        "运行 {0} 在 {2} 上留下了一场未证明结束的 {1} 交易，而币本身看不出属于谁",
    ),
    (
        r"(\w+) still lists (\d+) open orders? of (\S+) after they were cancelled",
        "撤单之后，{0} 仍列出 {2} 的 {1} 笔未结订单",
    ),
    (
        r"not flat on (\w+): (\S+) (\w+) held, (\d+) open orders?, (\d+) orders? without a proven end",
        "{0} 上没有平仓：持有 {1} {2}，{3} 笔未结订单，{4} 笔订单未证明结束",
    ),
    (r"the cleanup did not end in time", "清理没有按时结束"),
    (r"flat is not proven: (.+)", "未证明已平仓：{0}"),
    (r"no new orders: halted by hand", "不再下新单：已被人工停机"),
    (
        r"the order is worth (\S+) (\w+), the cap for one order is (\S+) USD",
        "订单价值 {0} {1}，单笔上限为 {2} USD",
    ),
    (
        r"with this order (.+) could open (\S+) USD, the cap for (.+) is (\S+) USD",
        "加上这笔订单，开仓可达 {1} USD，上限为 {3} USD（{2}）",
    ),
    (
        r"(.+) is (\S+) % above (.+); the band is (\S+) %",
        "{0} 比参考价高 {1}%（{2}）；价格带为 {3}%",
    ),
    (
        r"(.+) is (\S+) % below (.+); the band is (\S+) %",
        "{0} 比参考价低 {1}%（{2}）；价格带为 {3}%",
    ),
    (r"(\w+) took longer than (\S+) s", "{0} 用时超过 {1} 秒"),
    # what to do next
    (
        r"Run (`runner recover[^`]*`) if an earlier run left it; close it yourself; or let the play take it over and "
        r"close it: `runner play --adopt`\.",
        "如果是较早的运行留下的，运行 {0}；或自行了结；或让本场接管并平掉：`runner play --adopt`。",
    ),
    (r"Run (`runner recover[^`]*`)( first)?\.", "请先运行 {0}。"),
    (r"Cancel them on the exchange's own page\.", "请在交易所自己的页面上撤销。"),
    (r"Raise `?timeout_secs`?\.", "请增大 `timeout_secs`。"),
    (r"(`runner explain \w+`) says more\.", "{0} 有更多说明。"),
    (r"Did you mean (\w+)\?", "是不是指 {0}？"),
    (r"There are: (.+)\.", "可用的有：{0}。"),
    # steps
    (r"check that nothing is open", "检查没有任何未结"),
    (r"cancel all open orders", "撤销所有未结订单"),
    (r"close whatever is still open", "平掉仍然持有的一切"),
    (r"close the whole position at market", "以市价平掉全部持仓"),
    (r"wait between (.+) and (.+)", "等待 {0} 到 {1}"),
    (r"wait (\S+ \w+)", "等待 {0}"),
    (r"(\d[\d.]*) s", "{0} 秒"),
    (r"(\d[\d.]*) min", "{0} 分钟"),
    (r"buy", "买入"),
    (r"sell", "卖出"),
    (r"the smallest size", "最小数量"),
    (r"open \((buy|sell) (.+)\) at market", "以市价开仓（{0} {1}）"),
    (
        r"open \((buy|sell) (.+)\) with a limit order that follows the best price every (.+), for at most (.+) or "
        r"(\d+) orders?",
        "用每 {2} 跟随最优价的限价单开仓（{0} {1}），最长 {3} 或 {4} 笔订单",
    ),
    (
        r"close the whole position with a limit order that follows the best price every (.+), for at most (.+) or "
        r"(\d+) orders?",
        "用每 {0} 跟随最优价的限价单平掉全部持仓，最长 {1} 或 {2} 笔订单",
    ),
    (
        r"open \((buy|sell) (.+)\) with one limit order, waiting at most (.+)",
        "用一笔限价单开仓（{0} {1}），最多等待 {2}",
    ),
    (r"run the strategy (\S+) for at most (.+)", "运行策略 {0}，最长 {1}"),
    (r"check the position: (.+)", "检查持仓：{0}"),
    (r"check the margin: (.+)", "检查保证金：{0}"),
    (r"waited (\S+) s", "等待了 {0} 秒"),
    (r"no live orders", "没有未结订单"),
    (r"nothing to close", "没有需要平仓的"),
    (r"closed (\S+) (\w+) in (\d+) orders? at (\S+)", "用 {2} 笔订单平仓 {0} {1}，价格 {3}"),
    (
        r"(\S+) of (\S+) (\w+) filled in (\d+) attempts? at (\S+) on average \((\w+)\)",
        "{3} 次尝试成交 {0} / {1} {2}，均价 {4}（{5}）",
    ),
)

MOVES: Final[Mapping[str, str]] = {
    # what to do next, as the pages of the codes say it
    "Read the exchange's own words beside the code; the order does not exist.": (
        "请看代码旁交易所自己的话；该订单不存在。"
    ),
    "Add collateral, close something, or choose a smaller size.": "请增加保证金、平掉一些，或减小数量。",
    "Add collateral or lower the wanted amount.": "请增加保证金，或降低要求的金额。",
    "Deposit it, free it from other orders, or trade less.": "请充值、从其他订单中释放，或减少交易量。",
    "Round to the tick and the lot that `runner plan` shows for this market.": (
        "请按 `runner plan` 为该市场显示的最小变动价位和数量取整。"
    ),
    "Use `size: min`, or a larger size.": "请用 `size: min`，或增大数量。",
    "Trade in smaller parts.": "请分成较小的数量交易。",
    "Check the symbol and the price; nothing was sent.": "请检查币种和价格；没有发出任何请求。",
    "Use a price nearer to the best bid and ask, and look at the market: its book may be broken.": (
        "请用更接近最优买卖价的价格，并查看市场：盘口可能有异常。"
    ),
    "Nothing to do: the next attempt takes a fresh price.": "无需处理：下一次尝试会用新的价格。",
    "Check the position; it may be closed already.": "请检查持仓；可能已经平掉。",
    "It may be filled or cancelled already; its final state is looked up.": "它可能已成交或已撤销；正在查询最终状态。",
    "Do not send again. Run `runner recover`; check that no second program uses this account's ids.": (
        "不要重发。请运行 `runner recover`；并确认没有第二个程序使用该账户的编号。"
    ),
    "Do not send it again; run `runner recover`.": "不要重发；请运行 `runner recover`。",
    "Wait a minute; run fewer plays at once on this account.": "请等一分钟；减少同一账户上同时运行的场数。",
    "Check the key, its trading permission and its IP list with `runner doctor`.": (
        "请用 `runner doctor` 检查密钥、其交易权限和 IP 名单。"
    ),
    "Switch the account to one-way (net) mode on the exchange's own page.": (
        "请在交易所自己的页面上把账户改为单向持仓模式。"
    ),
    "Switch on network time and try again.": "请打开网络校时，然后重试。",
    "Check the connection; the session reconnects by itself.": "请检查网络连接；会话会自行重连。",
    "Never send it again. Run `runner recover`, or look at the exchange's own page for the client id shown.": (
        "绝不要重发。请运行 `runner recover`，或在交易所自己的页面上查找所示的客户端编号。"
    ),
    "Keep the log and report it; an order in such an answer counts as in doubt.": (
        "请保留日志并报告；这种应答里的订单按状态不明处理。"
    ),
    "Check the network, the address and the proxy.": "请检查网络、地址和代理。",
    "Look at its status page and try again later.": "请查看其状态页面，稍后再试。",
    "Wait for the session to come back; it is automatic.": "请等待会话恢复；会自动进行。",
    "Wait for market data; check that the market is open.": "请等待行情；并确认市场开放。",
    "Look at the nearest names given, or at the exchange's own list.": "请看给出的相近名称，或交易所自己的列表。",
    "Choose another market or wait until it opens.": "请换一个市场，或等它开放。",
    "Trade less, or raise `caps.net_exposure_usd` if that is meant.": (
        "请减少交易量；如果确实需要，请提高 `caps.net_exposure_usd`。"
    ),
    "Trade less, or raise the cap under `caps` if that is meant. A day is a UTC day and counts all runs.": (
        "请减少交易量；如果确实需要，请提高 `caps` 下的上限。一天指 UTC 的一天，所有运行都计入。"
    ),
    "Wait until it ends, or stop it: Ctrl-C where it runs, or `runner halt`. A dead process holds nothing.": (
        "请等它结束，或停掉它：在它运行的地方按 Ctrl-C，或运行 `runner halt`。已死的进程不占用任何账户。"
    ),
    "Nothing to do: it was asked for. The report says what was there.": "无需处理：这是要求的。报告写明了原有的内容。",
    "Read why in the report; `runner recover` settles and closes what is open.": (
        "原因见报告；`runner recover` 会了结并平掉未结的一切。"
    ),
    "Compare the order's story with the exchange's own page; the position check uses what is really there.": (
        "请把订单经过与交易所自己的页面对照；持仓检查以实际情况为准。"
    ),
    "Compare the order's story with the exchange's own page and report it.": (
        "请把订单经过与交易所自己的页面对照，并报告。"
    ),
    "Its end is looked up; keep the log and report it.": "正在查询它的结局；请保留日志并报告。",
    "Let the allocator choose it: 1 to 4294967295.": "请让分配器选择：1 到 4294967295。",
    "Give it more time or attempts, or a smaller size.": "请给更多时间或尝试次数，或减小数量。",
    "Give it more time.": "请给更多时间。",
    "Look at the exchange's own page; `runner recover` settles, cancels and closes.": (
        "请查看交易所自己的页面；`runner recover` 会了结、撤单并平仓。"
    ),
    "Compare the wanted and the found value.": "请对照要求的值和实际的值。",
    "Compare with the fills in the report.": "请与报告中的成交对照。",
    "Something else traded on this account, or a fill is missing: read the order stories in the report.": (
        "该账户上有别的交易，或缺少一笔成交：请看报告中的订单经过。"
    ),
    "Use one of the names given.": "请使用给出的名称之一。",
    "Read the error; the position was cleaned up by `finally`.": "请看错误内容；持仓已由 `finally` 清理。",
    "Mend the strategy; what it left open is closed by `finally`.": "请修改策略；它留下的未结部分由 `finally` 平掉。",
    "Correct the word.": "请改正这个词。",
    "Keep the run folder and report it.": "请保留运行文件夹并报告。",
    "Keep the log and report it.": "请保留日志并报告。",
    "Read the log and report it.": "请看日志并报告。",
    "Make room on the disk and check its permissions; the journal of intents is kept apart and is complete.": (
        "请腾出磁盘空间并检查权限；意图账本单独保存，是完整的。"
    ),
    "Close them first, so that the run can prove what it did itself; or take them over: `runner play --adopt` cancels "
    "the orders, and `flatten` closes the position. What an earlier run left, `runner recover` clears.": (
        "请先了结它们，使运行能证明自己做了什么；或接管它们：`runner play --adopt` 撤销订单，`flatten` 平掉持仓。"
        "较早的运行留下的，由 `runner recover` 清理。"
    ),
}
