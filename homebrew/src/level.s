; Levels: what their data says, and which comes next.

.include "memory.inc"

START_X = 40
START_Y = 176

.segment "CODE"

; Reads the level that world and stage name, and puts everything to its start. Draws nothing yet.
load_level:
  lda world
  asl
  asl
  ora stage
  tay
  lda levels_low, y
  sta pointer
  lda levels_high, y
  sta pointer + 1
  ldy #0
  lda (pointer), y
  sta area_type
  iny
  lda (pointer), y
  sta area_number
  iny
  lda (pointer), y
  sta theme
  iny
  lda (pointer), y
  sta level_clock
  iny
  lda (pointer), y
  sta pole_column
  iny
  lda (pointer), y
  sta level_columns
  iny
  ldx #0
: lda (pointer), y
  sta column_list, x ; and entity_list, which follows
  iny
  inx
  cpx #4
  bne :-
  lda (pointer), y
  sta level_name
  iny
  lda (pointer), y
  sta level_name + 1

  lda #0
  ldx #SPECIAL
: sta obj_x_speed, x
  sta obj_y_speed, x
  sta obj_x_page, x
  sta obj_x_sub, x
  sta obj_y_sub, x
  sta obj_y_frac, x
  sta obj_air, x
  sta obj_active, x
  sta obj_type, x ; of object 0 this is an unused byte
  dex
  bpl :-
  ldx #LEVEL_MEMORY_SIZE - 1
: sta level_memory, x
  dex
  bpl :-
  ldx #TILES_PAGE
: sta tiles - 1, x
  sta tiles + TILES_PAGE - 1, x
  dex
  bne :-
  sta x_speed_frac
  sta edge_page
  sta edge
  sta clock_ran_out
  sta hurt_timer
  sta frozen
  sta obj_y_page
  inc obj_y_page
  lda #START_X
  sta obj_x
  sta player_x_on_screen
  lda #START_Y
  sta obj_y
  sta player_y_on_screen
  lda #RIGHT
  sta facing
  sta obj_dir
  lda #STATE_ENTER
  sta player_state
  lda level_clock
  sta clock_digits
  lda #0
  sta clock_digits + 1
  sta clock_digits + 2
  lda #24
  sta clock_timer
  lda #INTERVAL
  sta interval
  rts

; Names the next level. Carry is set if there is none.
next_level:
  ldx stage
  cpx #LAST_STAGE
  bcc @stage
  ldx world
  cpx #LAST_WORLD
  bcs @done
  inc world
  lda #0
  sta stage
  sta area
  rts
@stage:
  inc stage
  inx
  inx ; in both worlds a walk precedes the second stage, and counts as an area
  stx area
  clc
@done:
  rts

.segment "RODATA"
.include "levels.inc"
