// What panels look like: units, legends, the width of the screen.
import * as common from '@grafana/grafana-foundation-sdk/common';
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import * as stat from '@grafana/grafana-foundation-sdk/stat';
import * as table from '@grafana/grafana-foundation-sdk/table';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';

const metrics = { type: 'prometheus', uid: '${metrics}' };
const store = { type: 'grafana-clickhouse-datasource', uid: '${clickhouse}' };
const height = 8;
const screen = 24;

// build returns a dashboard as Grafana imports it.
export function build(board) {
  const builder = new dashboard.DashboardBuilder(board.title)
    .uid(board.uid)
    .description(board.about)
    .tags(['rollcall'])
    .refresh('30s')
    .time({ from: 'now-3h', to: 'now' })
    .timezone('utc')
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .link(new dashboard.DashboardLinkBuilder('Rollcall').type(dashboard.DashboardLinkType.Dashboards).tags(['rollcall']).asDropdown(true))
    .withVariable(new dashboard.DatasourceVariableBuilder('metrics').label('Prometheus').type('prometheus'));
  if (board.rows.some((row) => row.panels.some((panel) => panel.sql))) {
    builder.withVariable(new dashboard.DatasourceVariableBuilder('clickhouse').label('ClickHouse').type('grafana-clickhouse-datasource'));
  }
  for (const row of board.rows) {
    builder.withRow(new dashboard.RowBuilder(row.title));
    for (const panel of row.panels) builder.withPanel(panelOf(panel, Math.floor(screen / Math.min(row.panels.length, 4))));
  }
  return builder.build();
}

function panelOf(panel, span) {
  if (panel.sql) return tableOf(panel, span);
  const builder = panel.stat ? new stat.PanelBuilder() : new timeseries.PanelBuilder();
  builder.title(panel.title).description(panel.about).datasource(metrics).span(span).height(height).unit(panel.unit ?? 'short').min(panel.min ?? 0);
  if (panel.limits) builder.thresholds(thresholds(panel.limits));
  if (!panel.stat) {
    builder
      .fillOpacity(panel.stack ? 25 : 5)
      .lineWidth(1)
      .showPoints(common.VisibilityMode.Never)
      .legend(new common.VizLegendOptionsBuilder().displayMode(common.LegendDisplayMode.List).placement(common.LegendPlacement.Bottom).showLegend(true))
      .tooltip(new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending));
    if (panel.stack) builder.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal));
    if (panel.limits) builder.thresholdsStyle(new common.GraphThresholdsStyleConfigBuilder().mode(common.GraphThresholdsStyleMode.Dashed));
  }
  for (const [legend, expr] of Object.entries(panel.asks)) {
    builder.withTarget(new prometheus.DataqueryBuilder().expr(expr).legendFormat(legend).datasource(metrics));
  }
  return builder;
}

// limits are where green ends and red begins.
function thresholds([warn, alarm]) {
  return new dashboard.ThresholdsConfigBuilder().mode(dashboard.ThresholdsMode.Absolute).steps([
    { value: null, color: 'green' },
    { value: warn, color: 'orange' },
    { value: alarm, color: 'red' },
  ]);
}

function tableOf(panel, span) {
  return new table.PanelBuilder()
    .title(panel.title)
    .description(panel.about)
    .datasource(store)
    .span(span)
    .height(height)
    .withTarget({ build: () => ({ refId: 'A', datasource: store, editorType: 'sql', queryType: 'table', format: 1, rawSql: panel.sql }) });
}
