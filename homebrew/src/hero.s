; The hero's picture.

.include "memory.inc"

TALL_ROWS  = 4
SMALL_ROWS = 2
SMALL_TOP  = 16

.segment "CODE"

draw_player:
  lda player_state
  cmp #STATE_END
  bne :+
  lda obj_x_speed
  beq @hidden ; he is at home
: lda hurt_timer
  beq :+
  lda frame
  and #2
  bne @hidden ; he blinks
: jsr choose_picture
  sta t0
  lda #SMALL_ROWS
  sta t2
  lda #SMALL_TOP
  sta t7
  jsr is_drawn_tall
  beq :+
  lda #TALL_ROWS
  sta t2
  lda #0
  sta t7
: ldy #PAL_HERO
  lda facing
  cmp #LEFT
  bne :+
  ldy #PAL_HERO | FLIP
: ldx #0
  lda t0
  jmp draw_object
@hidden:
  rts

; Z is clear if he is drawn tall; while he changes he is both in turn.
is_drawn_tall:
  lda player_state
  cmp #STATE_GROW
  beq :+
  cmp #STATE_HURT
  bne @power
: lda state_timer
  and #4
  rts
@power:
  lda power
  rts

; Out: A, the first tile.
choose_picture:
  ldx #PICTURE_JUMP
  lda player_state
  cmp #STATE_DIE
  beq @dead
  lda obj_air
  cmp #AIR_POLE
  beq @slide
  cmp #AIR_GROUND
  bne @chosen
  ldx #PICTURE_STAND
  lda obj_x_speed
  beq @chosen
  bpl :+
  eor #$FF
: lsr ; the faster he runs, the faster his legs
  lsr
  lsr
  sta t0
  lda step_timer
  clc
  adc t0
  adc #1
  sta step_timer
  cmp #14
  bcc :+
  lda #0
  sta step_timer
  inc step_picture
: lda step_picture
  and #3
  tax
@chosen:
  jsr is_drawn_tall
  bne :+
  lda small_pictures, x
  rts
: lda tall_pictures, x
  rts
@slide:
  ldx #PICTURE_SLIDE
  bne @chosen ; always
@dead:
  lda #SPR_SMALL_DEAD
  rts

.segment "RODATA"

PICTURE_STAND = 0 ; to 3: the steps of the walk
PICTURE_JUMP  = 4
PICTURE_SLIDE = 5

small_pictures:
  .byte SPR_SMALL_STAND, SPR_SMALL_WALK_1, SPR_SMALL_STAND, SPR_SMALL_WALK_2
  .byte SPR_SMALL_JUMP, SPR_SMALL_SLIDE
tall_pictures:
  .byte SPR_TALL_STAND, SPR_TALL_WALK_1, SPR_TALL_STAND, SPR_TALL_WALK_2
  .byte SPR_TALL_JUMP, SPR_TALL_SLIDE
